/* Lines on the control socket, of a broker with one worker: whatever comes, each line gets one of JSON that says whether
 * it was all right, and the connection ends when its client has said all. */
#include "broker/control.h"
#include "broker/worker_priv.h"
#include "codec/json.h"
#include "token/verifier.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define TIME_MAX_MS 20000
#define INPUT_MAX   1024 /* what the socket takes at once */

/* Lives as long as the process. */
struct stage {
    struct loop *loop;
    struct worker_common common;
    struct shard_settings settings;
    struct control *control;
    struct sockaddr_un address;
};

static void must(bool ok)
{
    if (!ok)
        abort();
}

static struct stage *stage_new(void)
{
    static struct stage s;
    struct source_settings limits = {
        .addresses = 16, .faults_per_min = 6, .faults_burst = 2, .ban_ms = 1000, .ban_max_ms = 60000
    };
    struct verifier_issuer issuer = { .iss = SPAN("https://as.example") };
    struct span audience = SPAN("broker");
    struct verifier_config config = {
        .issuers = &issuer, .n_issuers = 1, .audiences = &audience, .n_audiences = 1, .introspection = true
    };
    struct verifier *verifier = NULL;
    char folder[] = "/tmp/control_fuzz.XXXXXX";

    if (s.control != NULL)
        return &s;
    log_set_level(LOG_ERROR);
    shard_settings_init(&s.settings);
    s.common = (struct worker_common){ .count = 1, .settings = &s.settings };
    must(loop_new(&s.loop, NULL) == ST_OK && mkdtemp(folder) != NULL);
    must(sources_new(&limits, (struct hash_key){ { 1, 2 } }, &s.common.sources) == ST_OK);
    must(verifier_new(&config, &verifier, NULL) == ST_OK);
    must(worker_new(&s.common, 0, verifier, NULL) == ST_OK);
    s.address.sun_family = AF_UNIX;
    must(snprintf(s.address.sun_path, sizeof s.address.sun_path, "%s/s", folder) > 0);
    struct control_settings settings = { s.address.sun_path, &s.common, s.common.sources };
    must(control_new(s.loop, &settings, &s.control, NULL) == ST_OK);
    return &s;
}

static void check_line(struct span line)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    bool ok;

    must(js_parse(line, CONTROL_ANSWER_MAX, &js, NULL) == ST_OK && js_get_bool(js, "ok", &ok));
}

static void check_answers(struct span answers)
{
    for (size_t from = 0; from < answers.len;) {
        size_t end = span_find(answers, '\n', from);
        must(end < answers.len);
        check_line(span_cut(answers, from, end - from));
        from = end + 1;
    }
}

/* Until the broker has closed. */
static void converse(struct stage *s, int fd, struct buf *answers)
{
    int64_t start_ms = loop_now(s->loop).mono.ms;

    while (loop_now(s->loop).mono.ms - start_ms < TIME_MAX_MS) {
        loop_turn(s->loop);
        loop_turn(s->common.workers[0]->loop);
        uint8_t *room = buf_room(answers, 4096);
        must(room != NULL);
        ssize_t n = recv(fd, room, 4096, MSG_DONTWAIT);
        if (n == 0)
            return;
        if (n > 0)
            buf_added(answers, (size_t)n);
    }
    must(false); /* it never ended */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct stage *s = stage_new();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CLEANUP(buf_done)
    struct buf answers;

    buf_init(&answers, SIZE_MAX / 2);
    must(fd >= 0 && connect(fd, (struct sockaddr *)&s->address, sizeof s->address) == 0);
    if (len > INPUT_MAX)
        len = INPUT_MAX;
    must(len == 0 || send(fd, data, len, MSG_NOSIGNAL) == (ssize_t)len);
    must(shutdown(fd, SHUT_WR) == 0);
    converse(s, fd, &answers);
    check_answers(buf_span(&answers));
    (void)close(fd);
    return 0;
}
