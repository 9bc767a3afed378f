/* Every allocation of ours is made to fail once, in turn, while a CWT of two layers with an encrypted key is verified and
 * one is issued: then there is no token, nothing is lost (the sanitizers look), and the next try succeeds. */
#include "token/fixture_cwt_priv.h"

#include "crypto/test_hex.h"
#include "support/failing_memory.h"
#include "token/claims.h"

static void make_cwt(const struct fixture *f, struct buf *out)
{
    struct hex key = hex(OCT);
    CLEANUP(buf_done)
    struct buf sealed;
    CLEANUP(buf_done)
    struct buf cnf;
    CLEANUP(buf_done)
    struct buf inner;

    buf_init(&sealed, ROOM);
    buf_init(&cnf, ROOM);
    buf_init(&inner, ROOM);
    assert_int_equal(sy_cose_encrypt0(COSE_A256GCM, f->shared, SPAN("rs-1"), hex_span(&key), &sealed), ST_OK);
    put_str(&cnf, "a102");
    for (size_t i = 0; i < sealed.len; i++)
        put_fmt(&cnf, "%02x", sealed.p[i]);
    put_u8(&cnf, 0);
    cwt_sign(f, CWT({ 8, (const char *)cnf.p }, { 39, "4101" }), &inner);
    assert_int_equal(sy_cose_encrypt0(COSE_A256GCM, f->shared, SPAN("rs-1"), buf_span(&inner), out), ST_OK);
}

static void verifying_survives_every_failed_allocation(void **state)
{
    const struct fixture *f = *state;
    enum status st = ST_NO_MEMORY;
    CLEANUP(buf_done)
    struct buf cwt;

    buf_init(&cwt, ROOM);
    make_cwt(f, &cwt);
    for (long n = 1; st != ST_OK; n++) {
        struct token *token = NULL;
        struct why why = { 0 };
        failing_memory_begin(n);
        st = fixture_verify(f, buf_span(&cwt), &token, &why);
        (void)failing_memory_end();
        assert_int_equal(token != NULL, st == ST_OK);
        assert_true(st == ST_OK || why.clause != NULL);
        /* "refresh the keys" or "it has expired" would be a lie */
        if (st != ST_OK && st != ST_NO_MEMORY && st != ST_TOO_LARGE)
            fail_msg("%ld: %s, %s, %s", n, status_name(st), why.clause, why.text);
        token_unref(token);
        assert_true(n < 1000);
    }
}

static void issuing_survives_every_failed_allocation(void **state)
{
    const struct fixture *f = *state;
    enum status st = ST_NO_MEMORY;
    CLEANUP(key_unrefp)
    struct key *cnf = NULL;

    assert_int_equal(key_generate(KEY_SECRET, &cnf), ST_OK);
    const struct token_claims claims = { .iss = SPAN(FIXTURE_ISS),
                                         .aud = SPAN(FIXTURE_AUD),
                                         .has_exp = true,
                                         .exp = { FIXTURE_NOW + 60 },
                                         .cnf = cnf };
    for (long n = 1; st != ST_OK; n++) {
        CLEANUP(buf_done)
        struct buf out;
        buf_init(&out, ROOM);
        failing_memory_begin(n);
        st = token_issue_cwt_encrypt0(&claims, f->as, SPAN("as-1"), f->shared, SPAN("rs-1"), &out, NULL);
        (void)failing_memory_end();
        assert_true(st == ST_OK || out.len == 0);
        assert_true(n < 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verifying_survives_every_failed_allocation),
        cmocka_unit_test(issuing_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests_name("token_cwt_memory", tests, fixture_setup, fixture_teardown);
}
