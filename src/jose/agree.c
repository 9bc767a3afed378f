#include "jose/agree_priv.h"

#include "crypto/ecdh.h"
#include "crypto/hash.h"
#include "crypto/secret.h"

#define INPUT_MAX 1024

/* Data || its length in front (RFC 7518 4.6.2). */
static void put_sized(struct buf *b, struct span s)
{
    put_u32(b, (uint32_t)s.len);
    put_bytes(b, s);
}

enum status jose_agree(const struct key *mine, const struct key *theirs, const struct agreement *about,
                       uint8_t out[AGREED_MAX])
{
    CLEANUP(buf_wipe)
    struct buf input = { 0 };
    uint8_t z[ECDH_LEN];
    enum status st = ecdh_p256(mine, theirs, z);

    ASSERT(about->len <= AGREED_MAX);
    if (st != ST_OK)
        return st;
    buf_init(&input, INPUT_MAX);
    put_u32(&input, 1); /* the first round, and the only one */
    put_bytes(&input, span_of(z, sizeof z));
    put_sized(&input, span_of_str(about->purpose));
    put_sized(&input, about->apu);
    put_sized(&input, about->apv);
    put_u32(&input, (uint32_t)about->len * 8);
    secret_wipe(z, sizeof z);
    return buf_ok(&input) ? sha256(buf_span(&input), out) : buf_status(&input);
}
