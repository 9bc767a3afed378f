/* With the daemons' malloc() and free(): blocks of TLS records that are kept hold nothing of the records that were in them.
 * What is wiped is as much as the record at hand can have reached (base/record_blocks.h): here it is seen that it reached no
 * further. */
#include "base/record_blocks.h"
#include "net/tls_world.h"

#include <stdlib.h>

#define RECORD_MOST 3000 /* of longer ones, free() wipes only the beginning anyway */

/* As many as are ever kept, all of them zero. */
static void keep_clean_blocks(void)
{
    uint8_t *blocks[RECORD_BLOCKS_KEPT];

    record_blocks_keep();
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        blocks[i] = malloc(RECORD_BLOCK_BYTES);
        assert_non_null(blocks[i]);
        memset(blocks[i], 0, RECORD_BLOCK_BYTES);
    }
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        free(blocks[i]);
    assert_int_equal(record_blocks.count, RECORD_BLOCKS_KEPT);
}

static void look_that_all_are_clean(void)
{
    static const uint8_t zero[RECORD_BLOCK_BYTES];

    for (unsigned i = 0; i < record_blocks.count; i++)
        assert_memory_equal(record_blocks.kept[i], zero, RECORD_BLOCK_BYTES);
}

static size_t read_some(struct tls_side *to, struct span cipher, uint8_t *room, size_t cap)
{
    struct tls_io io = { cipher, &to->out };
    enum tls_result result;
    size_t got = 0, len;

    while ((result = tls_read(to->session, &io, room + got, cap, &len, &to->why)) == TLS_OK)
        got += len;
    assert_int_equal(result, TLS_WANT_INPUT);
    return got;
}

/* `records` of `len` bytes each, fed in `pieces`, read `cap` bytes at a time. */
static void pass(struct tls_pair *p, size_t len, int records, size_t pieces, size_t cap)
{
    uint8_t text[RECORD_MOST], room[2 * RECORD_MOST];
    size_t got = 0;

    memset(text, 's', sizeof text);
    for (int i = 0; i < records; i++)
        tls_say(&p->client, span_of(text, len));
    look_that_all_are_clean();
    struct span all = buf_span(&p->client.out);
    for (size_t i = 0; i < pieces; i++) {
        size_t from = all.len * i / pieces, to = all.len * (i + 1) / pieces;

        got += read_some(&p->server, span_cut(all, from, to - from), room + got, cap);
        look_that_all_are_clean();
    }
    buf_reset(&p->client.out);
    assert_int_equal(got, len * (size_t)records);
    assert_memory_equal(room, text, len);
}

static void blocks_kept_hold_nothing_of(const char *priorities)
{
    static const size_t sizes[] = { 1, 64, 500, 1000, RECORD_MOST };
    struct tls_variant v = tls_usual();
    struct tls_pair p;
    uint8_t room[64];

    v.client.priorities = v.server.priorities = priorities;
    tls_pair_init(&p, &v);
    tls_join(&p);
    assert_true(tls_up(&p));
    (void)read_some(&p.client, buf_span(&p.server.out), room, sizeof room); /* tickets */
    buf_reset(&p.server.out);
    keep_clean_blocks();
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        pass(&p, sizes[i], 1, 1, RECORD_MOST);
        pass(&p, sizes[i], 2, 1, RECORD_MOST);
        pass(&p, sizes[i], 2, 7, RECORD_MOST);
        pass(&p, sizes[i], 1, 3, 10); /* what is left of a record stays in its block until it is fetched */
    }
    record_blocks_give_back();
    tls_pair_done(&p);
}

static void blocks_kept_hold_nothing_of_records_of_tls_1_3(void **state UNUSED)
{
    blocks_kept_hold_nothing_of(ONLY_1_3);
}

static void blocks_kept_hold_nothing_of_records_of_tls_1_2(void **state UNUSED)
{
    blocks_kept_hold_nothing_of(ONLY_1_2);
}

static void blocks_kept_hold_nothing_of_records_of_other_ciphers(void **state UNUSED)
{
    blocks_kept_hold_nothing_of(ONLY_1_3 ":-CIPHER-ALL:+CHACHA20-POLY1305");
    blocks_kept_hold_nothing_of(ONLY_1_3 ":-CIPHER-ALL:+AES-256-GCM");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_kept_hold_nothing_of_records_of_tls_1_3),
        cmocka_unit_test(blocks_kept_hold_nothing_of_records_of_tls_1_2),
        cmocka_unit_test(blocks_kept_hold_nothing_of_records_of_other_ciphers),
    };
    return cmocka_run_group_tests(tests, test_certs_make, test_certs_drop);
}
