/* Every allocation of ours is made to fail once, in turn, while COSE messages and keys are written, read and opened:
 * each step says so, leaves nothing behind (the sanitizers look), and never takes lack of memory for a bad message. */
#include "cose/cose.h"
#include "cose/cose_key.h"
#include "support/failing_memory.h"
#include "support/vectors.h"

#define ROOM  4096
#define PLAIN SPAN("what is to be kept")

struct story {
    enum cose_kind kind;
    enum cose_alg alg;
    struct key *key;
    unsigned done;
};

static enum status write_message(const struct story *s, struct buf *out)
{
    switch (s->kind) {
    case COSE_SIGN1:
        return sy_cose_sign1(s->key, SPAN("k1"), PLAIN, out);
    case COSE_MAC0:
        return sy_cose_mac0(s->alg, s->key, SPAN("k1"), PLAIN, out);
    default:
        return sy_cose_encrypt0(s->alg, s->key, SPAN("k1"), PLAIN, out);
    }
}

static enum status write_and_open(const struct story *s, struct buf *text, struct buf *plain, struct why *why)
{
    CLEANUP(sy_cose_done)
    struct cose cose = { 0 };
    enum status st = write_message(s, text);

    if (st == ST_OK)
        st = sy_cose_parse(buf_span(text), ROOM, &cose, why);
    if (st == ST_OK)
        st = sy_cose_open(&cose, s->key, plain, why);
    return st;
}

static void try_message(void *ctx, long n)
{
    struct story *s = ctx;
    CLEANUP(buf_done)
    struct buf text;
    CLEANUP(buf_done)
    struct buf plain;
    struct why why = { 0 };

    buf_init(&text, ROOM);
    buf_init(&plain, ROOM);
    failing_memory_begin(n);
    enum status st = write_and_open(s, &text, &plain, &why);
    (void)failing_memory_end();
    if (st != ST_OK && st != ST_NO_MEMORY)
        fail_msg("%ld: %s: %s, %s", n, status_name(st), why.clause, why.text);
    if (st == ST_OK)
        assert_span_equal(buf_span(&plain), PLAIN);
    else
        assert_int_equal(plain.len, 0);
    s->done += st == ST_OK;
}

static void play(struct story s, enum key_kind kind, size_t secret_len)
{
    static const uint8_t bytes[32] = { 1, 2, 3 };

    if (kind == KEY_SECRET)
        assert_int_equal(key_new_secret(span_of(bytes, secret_len), &s.key, NULL), ST_OK);
    else
        assert_int_equal(key_generate(kind, &s.key), ST_OK);
    assert_true(failing_memory_each(try_message, &s) > 1);
    assert_int_not_equal(s.done, 0);
    key_unref(s.key);
}

static void messages_survive_every_failed_allocation(void **state UNUSED)
{
    static const enum cose_alg ciphers[] = { COSE_A128GCM, COSE_A256GCM, COSE_AES_CCM_16_64_128,
                                             COSE_AES_CCM_16_128_128 };

    play((struct story){ .kind = COSE_SIGN1 }, KEY_ED25519, 0);
    play((struct story){ .kind = COSE_SIGN1 }, KEY_P256, 0);
    play((struct story){ .kind = COSE_MAC0, .alg = COSE_HMAC_256_64 }, KEY_SECRET, 32);
    play((struct story){ .kind = COSE_MAC0, .alg = COSE_HMAC_256_256 }, KEY_SECRET, 32);
    for (size_t i = 0; i < COUNT_OF(ciphers); i++)
        play((struct story){ .kind = COSE_ENCRYPT0, .alg = ciphers[i] }, KEY_SECRET,
             sy_cose_key_len(ciphers[i]));
}

static enum status write_and_read_key(const struct key *key, struct buf *text, struct why *why)
{
    CLEANUP(sy_cose_key_done)
    struct cose_key read = { 0 };
    struct cb *cb = NULL;
    enum status st = sy_cose_key_write(key, SPAN("k1"), NULL, true, text);

    if (st == ST_OK)
        st = sy_cose_key_parse(buf_span(text), COSE_KEY_ANY, &read, &cb, why);
    if (st == ST_OK)
        assert_true(key_same(read.key, key));
    cb_unref(cb);
    return st;
}

static void try_key(void *ctx, long n)
{
    struct story *s = ctx;
    CLEANUP(buf_done)
    struct buf text;
    struct why why = { 0 };

    buf_init(&text, ROOM);
    failing_memory_begin(n);
    enum status st = write_and_read_key(s->key, &text, &why);
    (void)failing_memory_end();
    if (st != ST_OK && st != ST_NO_MEMORY)
        fail_msg("%ld: %s: %s, %s", n, status_name(st), why.clause, why.text);
    s->done += st == ST_OK;
}

static void keys_survive_every_failed_allocation(void **state UNUSED)
{
    static const enum key_kind kinds[] = { KEY_ED25519, KEY_P256, KEY_SECRET };

    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct story s = { 0 };

        assert_int_equal(key_generate(kinds[i], &s.key), ST_OK);
        assert_true(failing_memory_each(try_key, &s) > 1);
        assert_int_not_equal(s.done, 0);
        key_unref(s.key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_survive_every_failed_allocation),
        cmocka_unit_test(keys_survive_every_failed_allocation),
    };

    return cmocka_run_group_tests_name("cose_memory", tests, NULL, NULL);
}
