/* Any bytes as Authentication Data, in every layout: refused, or parts that written again give the same bytes. */
#include "token/auth_data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define ROOM (1 << 17)

static void check_connect(struct span in, struct buf *again)
{
    struct auth_data out;

    buf_reset(again);
    if (auth_data_parse_connect(in, &out, NULL) != ST_OK)
        return;
    ASSERT(out.token.len > 0 && 2 + out.token.len + out.pop.len == in.len);
    if (in.len > UINT16_MAX)
        return;
    ASSERT(auth_data_write_connect(out.token, out.pop, again) == ST_OK);
    ASSERT(span_eq(buf_span(again), in));
}

static void check_answer(struct span in, size_t pop_len, struct buf *again)
{
    struct auth_answer out;

    buf_reset(again);
    if (auth_data_parse_answer(in, pop_len, &out, NULL) != ST_OK)
        return;
    ASSERT(out.pop.len == pop_len && out.nonce.len >= ACE_NONCE_LEN && out.nonce.len <= ACE_NONCE_MAX);
    ASSERT(auth_data_write_answer(out.nonce, out.pop, out.draft06, again) == ST_OK);
    ASSERT(span_eq(buf_span(again), in));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct span in = span_of(data, len), nonce;
    CLEANUP(buf_done)
    struct buf again;

    buf_init(&again, ROOM);
    check_connect(in, &again);
    check_answer(in, 32, &again);
    check_answer(in, 64, &again);
    if (auth_data_parse_challenge(in, &nonce, NULL) == ST_OK)
        ASSERT(nonce.len == ACE_NONCE_LEN);
    return 0;
}
