/* Every allocation of libcrypto fails once: nothing is called a bad signature, or a bad key, for want of memory. */
#include "crypto/ecdh.h"
#include "crypto/random.h"
#include "crypto/sign.h"

#include <openssl/crypto.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the two above first */
#include <cmocka.h>

#define TRIES 2000

static long countdown = -1; /* allocations until one fails; negative: none does */

static bool fails(void)
{
    return countdown >= 0 && countdown-- == 0;
}

static void *poor_malloc(size_t size, const char *file UNUSED, int line UNUSED)
{
    return fails() ? NULL : malloc(size);
}

static void *poor_realloc(void *p, size_t size, const char *file UNUSED, int line UNUSED)
{
    return fails() ? NULL : realloc(p, size);
}

static void poor_free(void *p, const char *file UNUSED, int line UNUSED)
{
    free(p);
}

struct world {
    struct key *key, *public_key;
    uint8_t sig[SIG_MAX], shared[ECDH_LEN];
    struct span data;
};

static enum status read_private(struct world *w)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    return key_new_p256_private(key_d(w->key), &key, NULL);
}

static enum status read_public(struct world *w)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    return key_new_p256_public(key_x(w->key), key_y(w->key), &key, NULL);
}

static enum status sign(struct world *w)
{
    uint8_t sig[SIG_MAX];
    enum status st = sig_make(w->key, SIG_ES256, w->data, sig);
    return st == ST_INTERNAL ? ST_NO_MEMORY : st; /* the one that cannot tell */
}

static enum status check(struct world *w)
{
    return sig_check(w->public_key, SIG_ES256, w->data, span_of(w->sig, sizeof w->sig), NULL);
}

static enum status agree(struct world *w)
{
    enum status st = ecdh_p256(w->key, w->public_key, w->shared);
    return st == ST_INTERNAL ? ST_NO_MEMORY : st;
}

static void each_allocation_may_fail(void **state UNUSED)
{
    static enum status (*const rows[])(struct world *) = { read_private, read_public, sign, check, agree };
    struct world w = { .data = SPAN("data") };

    assert_int_equal(key_generate(KEY_P256, &w.key), ST_OK);
    assert_int_equal(key_public(w.key, &w.public_key), ST_OK);
    assert_int_equal(sig_make(w.key, SIG_ES256, w.data, w.sig), ST_OK);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        long n = 0;

        assert_int_equal(rows[i](&w), ST_OK); /* what the library keeps from its first time */
        for (; n < TRIES; n++) {
            countdown = n;
            enum status st = rows[i](&w);
            bool ended = countdown >= 0; /* it needed fewer */
            countdown = -1;
            if (ended) {
                assert_int_equal(st, ST_OK);
                break;
            }
            if (st != ST_OK) /* some it can do without */
                assert_int_equal(st, ST_NO_MEMORY);
        }
        assert_in_range(n, 1, TRIES - 1);
        assert_int_equal(rows[i](&w), ST_OK); /* nothing remains of it */
    }
    key_unref(w.key);
    key_unref(w.public_key);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(each_allocation_may_fail) };

    if (CRYPTO_set_mem_functions(poor_malloc, poor_realloc, poor_free) != 1)
        return 77; /* somebody allocated before us: not tested, and said */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
