/* The admin socket under a caller who writes and does not read, or writes and goes. */
#include "as/admin_socket.h"
#include "as/world_test.h"
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
/* cmocka wants those above first */
#include <cmocka.h>

#define PATIENCE_MS 20000

struct site {
    struct world *w;
    struct loop *loop;
    struct admin_socket *socket;
    char folder[32];
    char path[64];
};

static void open_site(struct site *s)
{
    s->w = world_new();
    snprintf(s->folder, sizeof s->folder, "/tmp/symbolon-admin-XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    snprintf(s->path, sizeof s->path, "%s/sock", s->folder);
    assert_int_equal(loop_new(&s->loop, NULL), ST_OK);
    assert_int_equal(admin_socket_new(s->loop, s->path, s->w->as, &s->socket, NULL), ST_OK);
}

static void close_site(struct site *s)
{
    admin_socket_free(s->socket);
    loop_free(s->loop);
    rmdir(s->folder);
    world_free(s->w);
}

#define SITE(s)            \
    CLEANUP(close_site)    \
    struct site s = { 0 }; \
    open_site(&s)

static int caller(struct site *s, const char *line, int times)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(to.sun_path, sizeof to.sun_path, "%s", s->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    CLEANUP(buf_done)
    struct buf all; /* one send: each would take its own part of the socket's room */
    buf_init(&all, 65536);
    for (int i = 0; i < times; i++)
        put_str(&all, line);
    assert_int_equal(send(fd, all.p, all.len, MSG_NOSIGNAL | MSG_DONTWAIT), all.len);
    return fd;
}

/* Reads until so many lines came, or the end. */
static int lines_of(struct site *s, int fd, int wanted)
{
    static char piece[65536];
    struct mono_time until = mono_plus_ms(now_read().mono, PATIENCE_MS);
    int lines = 0;

    while (lines < wanted && now_read().mono.ms < until.ms) {
        loop_turn(s->loop);
        ssize_t n = recv(fd, piece, sizeof piece, MSG_DONTWAIT);
        if (n == 0)
            break;
        for (ssize_t i = 0; i < n; i++)
            lines += piece[i] == '\n';
    }
    return lines;
}

static void answers_nobody_reads_wait_for_their_reader(void **state UNUSED)
{
    SITE(s);
    char name[40001];

    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    for (int i = 0; i < 15; i++)
        world_admin(s.w,
                    world_text(s.w, "{\"cmd\":\"client.add\",\"client_id\":\"c%d\",\"name\":\"%s\"}", i, name));
    int silent = caller(&s, "{\"cmd\":\"client.list\"}\n", 60); /* 36 MB of answers; a stream keeps 16 */
    for (int i = 0; i < 200; i++)
        loop_turn(s.loop);
    int other = caller(&s, "{\"cmd\":\"status\"}\n", 1);
    assert_int_equal(lines_of(&s, other, 1), 1);
    assert_int_equal(lines_of(&s, silent, 60), 60);
    close(silent);
    close(other);
}

static void many_lines_are_all_answered_though_the_caller_stopped_writing(void **state UNUSED)
{
    SITE(s);
    int fd = caller(&s, "{\"cmd\":\"status\"}\n", 500);

    shutdown(fd, SHUT_WR);
    assert_int_equal(lines_of(&s, fd, 501), 500);
    close(fd);
}

static void a_caller_who_goes_in_the_middle_is_forgotten(void **state UNUSED)
{
    SITE(s);
    close(caller(&s, "{\"cmd\":\"status\"}\n", 500));
    int fd = caller(&s, "{\"cmd\":\"status\"}\n", 100);
    loop_turn(s.loop);
    close(fd);
    for (int i = 0; i < 100; i++)
        loop_turn(s.loop);
    fd = caller(&s, "{\"cmd\":\"status\"}\n", 40); /* and one the server's end meets half-way */
    loop_turn(s.loop);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_nobody_reads_wait_for_their_reader),
        cmocka_unit_test(many_lines_are_all_answered_though_the_caller_stopped_writing),
        cmocka_unit_test(a_caller_who_goes_in_the_middle_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
