/* Any bytes as the answer of a token revocation list: refused with a reason, or whole hashes. */
#include "shard/status_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct status_answer answer;
    struct why why = { 0 };
    enum status st = status_answer_parse(span_of(data, len), &answer, &why);

    ASSERT(st == ST_OK || why.text != NULL);
    ASSERT(answer.revoked.len % TOKEN_HASH_LEN == 0 && answer.removed.len % TOKEN_HASH_LEN == 0 &&
           answer.changed.len % TOKEN_HASH_LEN == 0);
    ASSERT(st != ST_OK || !answer.has_cursor || answer.cursor >= 0);
    ASSERT(st != ST_OK || !answer.full || answer.removed.len == 0);
    status_answer_done(&answer);
    return 0;
}
