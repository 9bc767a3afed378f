/* Every allocation of ours, and of the JSON library, is made to fail once, in turn, while keys are read and printed and
 * texts are signed, encrypted, checked and opened: each step then says so, leaves nothing behind (the sanitizers look),
 * and never takes lack of memory for a bad text (TK-41, TK-62). */
#include "jose/jwe.h"
#include "jose/jwk.h"
#include "jose/jwks.h"
#include "jose/jws.h"
#include "support/failing_memory.h"
#include "support/vectors.h"

#define ROOM  8192
#define PLAIN SPAN("what is to be kept")

static void assert_told(enum status st, const struct why *why)
{
    if (st != ST_OK && st != ST_NO_MEMORY)
        fail_msg("%s: %s, %s", status_name(st), why->clause, why->text);
}

/* ---- JWS ---- */

struct signing {
    struct key *key;
    unsigned done;
};

static enum status sign_and_check(const struct key *key, struct buf *text, struct buf *payload, struct why *why)
{
    CLEANUP(jws_done)
    struct jws jws = { 0 };
    enum status st = jws_sign(key, SPAN("k1"), SPAN("JWT"), SPAN("JWT"), PLAIN, text);

    if (st == ST_OK)
        st = jws_parse(buf_span(text), &jws, why);
    if (st == ST_OK)
        st = jws_check(&jws, key, why);
    if (st == ST_OK)
        st = jws_payload(&jws, payload, why);
    return st;
}

static void try_signing(void *ctx, long n)
{
    struct signing *s = ctx;
    CLEANUP(buf_done)
    struct buf text;
    CLEANUP(buf_done)
    struct buf payload;
    struct why why = { 0 };

    buf_init(&text, ROOM);
    buf_init(&payload, ROOM);
    failing_memory_begin(n);
    enum status st = sign_and_check(s->key, &text, &payload, &why);
    (void)failing_memory_end();
    assert_told(st, &why);
    if (st == ST_OK)
        assert_span_equal(buf_span(&payload), PLAIN);
    s->done += st == ST_OK;
}

static void signing_survives_every_failed_allocation(void **state UNUSED)
{
    static const enum key_kind kinds[] = { KEY_ED25519, KEY_P256, KEY_SECRET };

    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct signing s = { 0 };

        assert_int_equal(key_generate(kinds[i], &s.key), ST_OK);
        assert_true(failing_memory_each(try_signing, &s) > 5);
        assert_int_not_equal(s.done, 0);
        key_unref(s.key);
    }
}

/* ---- JWE ---- */

struct sealing {
    enum jwe_alg alg;
    enum jwe_enc enc;
    struct key *key;
    unsigned done;
};

static enum status seal_and_open(const struct sealing *s, struct buf *text, struct buf *plain, struct why *why)
{
    CLEANUP(jwe_done)
    struct jwe jwe = { 0 };
    enum status st = jwe_encrypt(s->alg, s->enc, s->key, SPAN("k1"), SPAN("JWT"), SPAN("JWT"), PLAIN, text);

    if (st == ST_OK)
        st = jwe_parse(buf_span(text), &jwe, why);
    if (st == ST_OK)
        st = jwe_decrypt(&jwe, s->key, plain, why);
    return st;
}

static void try_sealing(void *ctx, long n)
{
    struct sealing *s = ctx;
    CLEANUP(buf_done)
    struct buf text;
    CLEANUP(buf_done)
    struct buf plain;
    struct why why = { 0 };

    buf_init(&text, ROOM);
    buf_init(&plain, ROOM);
    failing_memory_begin(n);
    enum status st = seal_and_open(s, &text, &plain, &why);
    (void)failing_memory_end();
    assert_told(st, &why);
    if (st == ST_OK)
        assert_span_equal(buf_span(&plain), PLAIN);
    else
        assert_int_equal(plain.len, 0);
    s->done += st == ST_OK;
}

static struct key *key_for(enum jwe_alg alg, enum jwe_enc enc)
{
    static const uint8_t bytes[32] = { 7 };
    struct key *key = NULL;

    if (jwe_alg_is_agreement(alg)) {
        assert_int_equal(key_generate(KEY_P256, &key), ST_OK);
        return key;
    }
    for (size_t len = 16; len <= sizeof bytes; len += 16) {
        assert_int_equal(key_new_secret(span_of(bytes, len), &key, NULL), ST_OK);
        if (jwe_key_fits(alg, enc, key))
            return key;
        key_unref(key);
    }
    fail_msg("no key for %d, %d", (int)alg, (int)enc);
    return NULL;
}

static void sealing_survives_every_failed_allocation(void **state UNUSED)
{
    for (enum jwe_alg alg = 0; alg < JWE_ALGS; alg++)
        for (enum jwe_enc enc = 0; enc < JWE_ENCS; enc++) {
            struct sealing s = { alg, enc, key_for(alg, enc), 0 };

            assert_true(failing_memory_each(try_sealing, &s) > 5);
            assert_int_not_equal(s.done, 0);
            key_unref(s.key);
        }
}

/* ---- JWK, JWK Set ---- */

static enum status print_and_parse(const struct key *key, enum jwk_want want, struct buf *text, struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    CLEANUP(js_unrefp)
    struct js *read = NULL;
    struct jwk jwk;
    uint8_t thumbprint[JWK_THUMBPRINT_LEN];
    enum status st = jwk_print(key, SPAN("k1"), "alg", true, &js);

    if (st == ST_OK)
        st = js_print(js, text);
    if (st == ST_OK)
        st = js_parse(buf_span(text), ROOM, &read, why);
    if (st == ST_OK) {
        st = jwk_parse(read, want, &jwk, why);
        if (st == ST_OK) {
            assert_true(key_same(jwk.key, key));
            st = jwk_thumbprint(jwk.key, thumbprint);
        }
        jwk_done(&jwk);
    }
    return st;
}

static void try_printing(void *ctx, long n)
{
    struct signing *s = ctx;
    CLEANUP(buf_done)
    struct buf text;
    struct why why = { 0 };

    buf_init(&text, ROOM);
    failing_memory_begin(n);
    enum status st = print_and_parse(s->key, JWK_ANY, &text, &why);
    (void)failing_memory_end();
    assert_told(st, &why);
    s->done += st == ST_OK;
}

static void keys_as_json_survive_every_failed_allocation(void **state UNUSED)
{
    static const enum key_kind kinds[] = { KEY_ED25519, KEY_P256, KEY_SECRET };

    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct signing s = { 0 };

        assert_int_equal(key_generate(kinds[i], &s.key), ST_OK);
        assert_true(failing_memory_each(try_printing, &s) > 5);
        assert_int_not_equal(s.done, 0);
        key_unref(s.key);
    }
}

#define SET                                                                                                  \
    "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\",\"alg\":\"EdDSA\",\"use\":\"sig\","       \
    "\"key_ops\":[\"verify\"],\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},{\"kty\":\"unknown\"}," \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"b\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\"," \
    "\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}]}"

static void try_a_set(void *ctx, long n)
{
    unsigned *done = ctx;
    CLEANUP(jwks_unrefp)
    struct jwks *set = NULL;
    CLEANUP(jwks_unrefp)
    struct jwks *copy = NULL;
    struct why why = { 0 };

    failing_memory_begin(n);
    enum status st = jwks_parse(SPAN(SET), JWK_PUBLIC, &set, &why);
    if (st == ST_OK)
        st = jwks_make(jwks_at(set, 0), jwks_size(set), &copy);
    (void)failing_memory_end();
    assert_told(st, &why);
    if (st != ST_OK)
        return;
    assert_int_equal(jwks_size(set),
                     2); /* a key that could not be read for want of memory is not one to skip */
    assert_int_equal(jwks_skipped(set), 0); /* a kind nobody here knows is no broken key */
    assert_int_equal(jwks_size(copy), 2);
    ++*done;
}

static void a_set_is_whole_or_not_there(void **state UNUSED)
{
    unsigned done = 0;

    assert_true(failing_memory_each(try_a_set, &done) > 5);
    assert_int_not_equal(done, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signing_survives_every_failed_allocation),
        cmocka_unit_test(sealing_survives_every_failed_allocation),
        cmocka_unit_test(keys_as_json_survive_every_failed_allocation),
        cmocka_unit_test(a_set_is_whole_or_not_there),
    };

    return cmocka_run_group_tests_name("jose_memory", tests, NULL, NULL);
}
