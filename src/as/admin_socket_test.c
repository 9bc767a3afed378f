/* The admin socket under a caller who writes and does not read, or writes and goes. */
#include "as/admin_login.h"
#include "as/admin_socket.h"
#include "as/world_test.h"
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka wants those above first */
#include <cmocka.h>

#define PATIENCE_MS 60000
#define CREDENTIAL  "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define LOGIN       "{\"cmd\":\"login\",\"credential\":\"" CREDENTIAL "\"}\n"
#define WRONG       "{\"cmd\":\"login\",\"credential\":\"BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}\n"
#define OTHER_USER  65534

struct site {
    struct world *w;
    struct loop *loop;
    struct admin_socket *socket;
    bool without_credential;
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
    const struct admin_socket_settings settings = {
        .path = s->path,
        .credential = s->without_credential ? SPAN_NONE : SPAN(CREDENTIAL "\n"),
        .failures_per_minute = 3,
    };
    assert_int_equal(admin_socket_new(s->loop, &settings, s->w->as, &s->socket, NULL), ST_OK);
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

/* ---- who is neither root nor the server's user ---- */

static bool root_runs_this(void)
{
    if (geteuid() != 0)
        print_message("not root: nobody else can be played\n");
    return geteuid() == 0;
}

/* What another user sends and gets, until the server hangs up or so many lines came. A child plays him, so that it is
 * his uid the kernel tells. */
static void other_user(struct site *s, const char *sends, int lines, char answer[4096])
{
    int from[2];

    assert_int_equal(pipe(from), 0);
    assert_int_equal(chmod(s->folder, 0755), 0);
    assert_int_equal(chmod(s->path, 0666), 0); /* what a group does, as far as this test goes */
    pid_t child = fork();
    if (child == 0) {
        struct sockaddr_un to = { .sun_family = AF_UNIX };
        char piece[4096];
        int seen = 0, fd = socket(AF_UNIX, SOCK_STREAM, 0);
        snprintf(to.sun_path, sizeof to.sun_path, "%s", s->path);
        if (setresuid(OTHER_USER, OTHER_USER, OTHER_USER) != 0 ||
            connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
            _exit(1);
        (void)!send(fd, sends, strlen(sends), MSG_NOSIGNAL);
        for (ssize_t n; seen < lines && (n = recv(fd, piece, sizeof piece, 0)) > 0;) {
            for (ssize_t i = 0; i < n; i++)
                seen += piece[i] == '\n';
            (void)!write(from[1], piece, (size_t)n);
        }
        _exit(0);
    }
    close(from[1]);
    int status = -1;
    struct mono_time until = mono_plus_ms(now_read().mono, PATIENCE_MS);
    while (waitpid(child, &status, WNOHANG) == 0 && now_read().mono.ms < until.ms)
        loop_turn(s->loop);
    assert_int_equal(status, 0);
    ssize_t n = read(from[0], answer, 4095);
    answer[n > 0 ? n : 0] = '\0';
    close(from[0]);
    for (int i = 0; i < 3; i++)
        loop_turn(s->loop);
}

#define assert_says(answer, text) assert_non_null(strstr(answer, text))

static void another_user_logs_in_and_is_named_in_the_audit(void **state UNUSED)
{
    char answer[4096];

    if (!root_runs_this())
        skip();
    SITE(s);
    other_user(
        &s, LOGIN "{\"cmd\":\"client.add\",\"client_id\":\"c\",\"secret\":false}\n{\"cmd\":\"audit.list\"}\n",
        3, answer);
    assert_memory_equal(answer, "{\"ok\":true}\n", 12);
    assert_says(answer, "\"actor\":\"uid:65534\"");
    assert_null(strstr(answer, CREDENTIAL));
}

static void a_wrong_credential_ends_the_connection(void **state UNUSED)
{
    static const char *const lines[] = {
        WRONG "{\"cmd\":\"status\"}\n",
        "{\"cmd\":\"login\",\"credential\":\"\"}\n" LOGIN,
    };
    char answer[4096];

    if (!root_runs_this())
        skip();
    SITE(s);
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        other_user(&s, lines[i], 9, answer);
        assert_says(answer, "BAD_CREDENTIAL");
        assert_ptr_equal(strchr(answer, '\n'), answer + strlen(answer) - 1);
    }
    other_user(&s, "{\"cmd\":\"login\",\"credential\":\"" CREDENTIAL "\",\"x\":1}\n", 9, answer);
    assert_says(answer, "MALFORMED");
}

static void nothing_is_answered_before_the_login(void **state UNUSED)
{
    static const char *const lines[] = { "{\"cmd\":\"status\"}\n" LOGIN, "\n", "[]\n", "{\"cmd\":1}\n" };
    static char long_line[AS_ADMIN_LINE_MAX + 3];
    char answer[4096];

    if (!root_runs_this())
        skip();
    SITE(s);
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        other_user(&s, lines[i], 9, answer);
        assert_says(answer, "\"error\":\"DENIED\"");
        assert_ptr_equal(strchr(answer, '\n'), answer + strlen(answer) - 1);
    }
    memset(long_line, ' ', sizeof long_line - 1);
    other_user(&s, long_line, 9, answer);
    assert_says(answer, "\"error\":\"DENIED\"");
}

static void guesses_are_throttled_and_the_right_one_is_then_of_no_use(void **state UNUSED)
{
    char answer[4096];

    if (!root_runs_this())
        skip();
    SITE(s);
    for (int i = 0; i < 3; i++) {
        other_user(&s, WRONG, 9, answer);
        assert_says(answer, "BAD_CREDENTIAL");
    }
    other_user(&s, LOGIN, 9, answer);
    assert_says(answer, "QUOTA");
    int fd = caller(&s, LOGIN "{\"cmd\":\"status\"}\n", 1); /* another caller is not meant */
    assert_int_equal(lines_of(&s, fd, 2), 2);
    close(fd);
}

static void without_a_credential_only_root_and_the_own_user_are_served(void **state UNUSED)
{
    char answer[4096];
    CLEANUP(close_site)
    struct site s = { .without_credential = true };

    open_site(&s);
    if (root_runs_this()) {
        other_user(&s, LOGIN, 9, answer);
        assert_string_equal(answer, "");
    }
    int fd = caller(&s, "{\"cmd\":\"status\"}\n", 1);
    assert_int_equal(lines_of(&s, fd, 1), 1);
    close(fd);
    fd = caller(&s, LOGIN, 1); /* he need not, but if he does it must be right */
    assert_int_equal(lines_of(&s, fd, 2), 1);
    close(fd);
}

static void a_login_is_the_first_line_or_none(void **state UNUSED)
{
    struct why why = { 0 };
    struct admin_login *login = calloc(1, sizeof *login);
    const struct mono_time now = { 1000 };

    assert_non_null(login);
    assert_int_equal(admin_login_init(login, SPAN("too short\n"), 3, &why), ST_MALFORMED);
    assert_string_equal(why.clause, "admin.credential");
    assert_int_equal(admin_login_init(login, SPAN(CREDENTIAL "\n\n"), 3, &why), ST_MALFORMED);
    assert_int_equal(admin_login_init(login, SPAN(CREDENTIAL), 3, &why), ST_OK);
    assert_int_equal(admin_login_try(login, SPAN(LOGIN), SPAN("uid:1"), now, &why), ST_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(admin_login_try(login, SPAN(WRONG), SPAN("uid:1"), now, &why), ST_BAD_CREDENTIAL);
    assert_int_equal(admin_login_try(login, SPAN(LOGIN), SPAN("uid:1"), now, &why), ST_QUOTA);
    assert_int_equal(admin_login_try(login, SPAN(LOGIN), SPAN("uid:2"), now, &why), ST_OK);
    assert_int_equal(admin_login_try(login, SPAN(LOGIN), SPAN("uid:1"), mono_plus_ms(now, 60000), &why), ST_OK);
    assert_int_equal(admin_login_try(login, SPAN("{\"cmd\":\"login\"}"), SPAN("uid:1"), now, &why),
                     ST_MALFORMED);
    free(login);

    SITE(s);
    int fd =
        caller(&s, "{\"cmd\":\"status\"}\n" LOGIN "{\"cmd\":\"status\"}\n", 1); /* the second is no command */
    assert_int_equal(lines_of(&s, fd, 3), 3);
    close(fd);
}

static void a_group_that_is_not_there_is_refused(void **state UNUSED)
{
    SITE(s);
    struct admin_socket *other = NULL;
    struct why why = { 0 };
    char path[80];

    snprintf(path, sizeof path, "%s/other", s.folder);
    const struct admin_socket_settings settings = { .path = path, .group = "no-such-group-here" };
    assert_int_equal(admin_socket_new(s.loop, &settings, s.w->as, &other, &why), ST_NOT_FOUND);
    assert_string_equal(why.clause, "admin_group");
    assert_int_not_equal(access(path, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_nobody_reads_wait_for_their_reader),
        cmocka_unit_test(many_lines_are_all_answered_though_the_caller_stopped_writing),
        cmocka_unit_test(a_caller_who_goes_in_the_middle_is_forgotten),
        cmocka_unit_test(another_user_logs_in_and_is_named_in_the_audit),
        cmocka_unit_test(a_wrong_credential_ends_the_connection),
        cmocka_unit_test(nothing_is_answered_before_the_login),
        cmocka_unit_test(guesses_are_throttled_and_the_right_one_is_then_of_no_use),
        cmocka_unit_test(without_a_credential_only_root_and_the_own_user_are_served),
        cmocka_unit_test(a_login_is_the_first_line_or_none),
        cmocka_unit_test(a_group_that_is_not_there_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
