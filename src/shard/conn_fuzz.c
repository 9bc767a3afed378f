/* Raw bytes from a client into one broker of two shards: before it is authorized, after (first byte of the input
 * even: as if a CONNECT had been accepted, of MQTT 5 or, with bit 1, of 3.1.1), and with a second connection listening,
 * which speaks 3.1.1 if bit 2 is set. With bit 3 tokens may be left on authz-info. The invariants are the ASSERTs of the
 * core, the sanitizers, and a few at the end. */
#include "scope/scope.h"
#include "shard/shard_priv.h"
#include "shard/token_store.h"
#include "token/verifier.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct conn_io {
    unsigned at;
    struct conn *conn;
    bool closed, paused;
    struct buf in;
};

struct fuzz {
    struct shard *shard[2];
    struct shard_msg *posted;
    struct shard_msg **posted_end;
    uint64_t random;
};

static uint8_t *fuzz_append(void *ctx, struct conn_io *io, size_t len)
{
    (void)ctx;
    buf_reset(&io->in); /* nobody looks: only the writing is of interest */
    return buf_room(&io->in, len);
}

static size_t fuzz_pending(void *ctx, struct conn_io *io)
{
    (void)ctx;
    (void)io;
    return 0;
}

static void fuzz_close(void *ctx, struct conn_io *io)
{
    (void)ctx;
    io->conn = NULL;
    io->closed = true;
}

static void fuzz_move(void *ctx, struct conn_io *io, unsigned home)
{
    (void)ctx;
    io->conn = NULL;
    io->at = home;
}

static enum exporter_result fuzz_exporter(void *ctx, struct conn_io *io, uint8_t out[32])
{
    (void)ctx;
    (void)io;
    if (out != NULL)
        memset(out, 0x40, 32);
    return EXPORTER_OK;
}

static void fuzz_pause(void *ctx, struct conn_io *io, bool pause)
{
    (void)ctx;
    io->paused = pause;
}

static void fuzz_post(void *ctx, unsigned to, struct shard_msg *msg)
{
    struct fuzz *f = ctx;

    (void)to; /* with two shards it is the other one */
    msg->next = NULL;
    *f->posted_end = msg;
    f->posted_end = &msg->next;
}

static void fuzz_resolve(void *ctx, enum resolve_kind kind, uint64_t request, struct span token)
{
    (void)ctx;
    (void)kind;
    (void)request;
    (void)token;
}

static enum status fuzz_random(void *ctx, void *out, size_t len)
{
    struct fuzz *f = ctx;
    uint8_t *p = out;

    for (size_t i = 0; i < len; i++) {
        f->random = f->random * UINT64_C(6364136223846793005) + 1;
        p[i] = (uint8_t)(f->random >> 56);
    }
    return ST_OK;
}

/* Tokens are references that nobody ever answers about. */
static struct verifier *make_verifier(void)
{
    struct verifier_issuer issuer = { .iss = SPAN("https://as.example") };
    struct span audience = SPAN("broker");
    struct verifier_config config = {
        .issuers = &issuer, .n_issuers = 1, .audiences = &audience, .n_audiences = 1, .introspection = true
    };
    struct verifier *verifier = NULL;

    if (verifier_new(&config, &verifier, NULL) != ST_OK)
        abort();
    return verifier;
}

static struct token_store *make_tokens(void)
{
    static const uint8_t secret[TOKEN_STORE_SECRET_LEN] = { 1 };
    struct token_store_limits limits;
    struct token_store *tokens = NULL;

    token_store_limits_init(&limits);
    if (token_store_new(&limits, secret, &tokens) != ST_OK)
        abort();
    return tokens;
}

static void deliver_posted(struct fuzz *f, struct now now)
{
    struct shard_msg *msg;

    while ((msg = f->posted) != NULL) {
        f->posted = msg->next;
        if (f->posted == NULL)
            f->posted_end = &f->posted;
        msg->next = NULL;
        shard_messages(f->shard[1 - msg->from], msg, now);
    }
}

static void feed(struct fuzz *f, struct conn_io *io, struct span input, struct now now)
{
    while (!io->closed && !io->paused && input.len > 0) {
        CLEANUP(freep)
        uint8_t *exact = malloc(input.len);
        size_t used;

        if (exact == NULL)
            return;
        memcpy(exact, input.p, input.len);
        if (io->conn == NULL)
            io->conn = shard_accept(f->shard[io->at], io, SPAN("fuzz"), io->at != 0, now);
        if (io->conn == NULL)
            return;
        used = shard_input(f->shard[io->at], io->conn, span_of(exact, input.len), now);
        deliver_posted(f, now);
        if (used == 0 && io->conn != NULL)
            return;
        input = span_cut(input, used, SIZE_MAX);
    }
}

static void finish(struct fuzz *f, struct conn_io *io, struct now now)
{
    if (io->conn != NULL)
        shard_closed(f->shard[io->at], io->conn, "end of input", now);
    deliver_posted(f, now);
    buf_done(&io->in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const uint8_t listener[] =
        "\x10\x11\x00\x04MQTT\x05\x02\x00\x00\x03\x22\x00\x04\x00\x01L" /* takes aliases */
        "\x82\x07\x00\x01\x00\x00\x01#\x02";
    static const uint8_t open[] = "\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01"
                                  "C";
    static const uint8_t listener3[] = "\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01L"
                                       "\x82\x06\x00\x01\x00\x01#\x02";
    static const uint8_t open3[] = "\x10\x0d\x00\x04MQTT\x04\x00\x00\x00\x00\x01"
                                   "C";
    struct fuzz f = { .posted_end = &f.posted, .random = 7 };
    struct shard_world world = { .ctx = &f,
                                 .conn_append = fuzz_append,
                                 .conn_pending = fuzz_pending,
                                 .conn_close = fuzz_close,
                                 .conn_move = fuzz_move,
                                 .conn_exporter = fuzz_exporter,
                                 .conn_pause = fuzz_pause,
                                 .post = fuzz_post,
                                 .resolve = fuzz_resolve,
                                 .random = fuzz_random };
    struct verifier *verifier = NULL;
    struct scope *public_scope = NULL;
    struct shard_settings settings;
    struct now now = { { 1000 }, { 1800000000 } };
    struct conn_io io = { 0 }, other = { 0 };

    if (len == 0)
        return 0;
    log_set_level(LOG_ERROR);
    shard_settings_init(&settings);
    settings.max_queue_messages = 16;
    settings.max_retained_messages = 16;
    settings.response_prefix = SPAN("r/${client_id}/");
    settings.server_reference = SPAN("elsewhere");
    settings.sys_interval_s = 1;
    if (scope_from_text(SPAN("[[\"#\",[\"pub\",\"sub\"]],[\"$SYS/#\",[\"pub\",\"sub\"]]]"), &public_scope,
                        NULL) != ST_OK)
        abort();
    settings.public_scope = public_scope;
    if ((data[0] & 8) != 0) { /* with authz-info, and an authorization server that is silent */
        verifier = make_verifier();
        settings.tokens = make_tokens();
        settings.authz_info = settings.stored_tokens = settings.send_cnonce = true;
    }
    buf_init(&io.in, 1 << 24);
    buf_init(&other.in, 1 << 24);
    for (unsigned i = 0; i < 2; i++)
        if (shard_new(i, 2, &settings, &world, verifier, NULL, now, &f.shard[i]) != ST_OK)
            abort();
    feed(&f, &other,
         (data[0] & 4) == 0 ? span_of(listener, sizeof listener - 1) : span_of(listener3, sizeof listener3 - 1),
         now);
    if (other.conn == NULL)
        abort();
    if (data[0] % 2 == 0)
        feed(&f, &io, (data[0] & 2) == 0 ? span_of(open, sizeof open - 1) : span_of(open3, sizeof open3 - 1),
             now);
    feed(&f, &io, span_of(data + 1, len - 1), now);
    now.mono.ms += 20000;
    now.wall.s += 20;
    for (unsigned i = 0; i < 2; i++)
        shard_advance(f.shard[i], now);
    deliver_posted(&f, now);
    finish(&f, &io, now);
    finish(&f, &other, now);
    for (unsigned i = 0; i < 2; i++) {
        if (atomic_load(&f.shard[i]->stats.connections) != 0)
            abort();
        shard_free(f.shard[i]);
    }
    token_store_free(settings.tokens);
    verifier_unref(verifier);
    scope_unref(public_scope);
    return 0;
}
