/* Any bytes as COSE: refused, or taken apart; never opened under a key that no input can guess. */
#include "cose/cose.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define ROOM (1 << 16)

static struct key *secret(size_t len)
{
    struct key *key = NULL;

    ASSERT(key_new_secret(span_cut(SPAN("a secret that no input can guess"), 0, len), &key, NULL) == ST_OK);
    return key;
}

static const struct key *key_for(enum cose_alg alg)
{
    static struct key *wide, *narrow, *ed25519, *p256;

    if (wide == NULL) {
        wide = secret(32);
        narrow = secret(16);
        ASSERT(key_generate(KEY_ED25519, &ed25519) == ST_OK && key_generate(KEY_P256, &p256) == ST_OK);
    }
    for (size_t i = 0; i < 4; i++) {
        const struct key *key = (const struct key *const[]){ wide, narrow, ed25519, p256 }[i];
        if (sy_cose_alg_fits(alg, key))
            return key;
    }
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    CLEANUP(sy_cose_done)
    struct cose cose = { 0 };
    CLEANUP(buf_done)
    struct buf out;
    struct why why = { 0 };

    buf_init(&out, ROOM);
    if (sy_cose_parse(span_of(data, len), ROOM, &cose, &why) != ST_OK) {
        ASSERT(why.clause != NULL && why.text != NULL);
        return 0;
    }
    ASSERT(cose.kid.len <= COSE_MAX_KID);
    const struct key *key = key_for(cose.alg);
    ASSERT(key != NULL);
    ASSERT(sy_cose_open(&cose, key, &out, &why) == ST_BAD_TOKEN && out.len == 0);
    return 0;
}
