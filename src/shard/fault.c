#include "shard/fault.h"

#include "token/verifier.h"

#include <string.h>

/* Refusals that say BAD_TOKEN or BAD_PROOF to clients who did their best. */
static const char *const befalls_honest_clients[] = {
    TOKEN_CLAUSE_KEY_UNKNOWN, /* its issuer changed keys a moment ago */
    "MT-27",                  /* a kid whose token is not kept any more */
    "AF-63 aud",              /* a token for another server */
    "AF-18",                  /* no cnonce: the hints of this very refusal bring one */
    "AF-83",
    "AF-98",        /* revoked */
    "TK-53",        /* a clock that is wrong, here or there */
    "max_lifetime", /* our own rule */
    "MT-2",
    "MT-56",               /* no TLS here */
    "MT-61",               /* no exporter on a resumed session: it is to ask for a challenge */
    "limits.auth_timeout", /* a slow line */
};

static bool befalls(const struct why *why)
{
    for (size_t i = 0; why->clause != NULL && i < COUNT_OF(befalls_honest_clients); i++)
        if (strcmp(why->clause, befalls_honest_clients[i]) == 0)
            return true;
    return false;
}

bool fault_is(enum status st, const struct why *why, bool open)
{
    switch (st) {
    case ST_BAD_TOKEN:
    case ST_BAD_PROOF:
    case ST_BAD_CREDENTIAL:
        return !befalls(why);
    case ST_MALFORMED:
    case ST_PROTOCOL:
        return !open; /* who was let in answers for it with a token */
    default:
        return false;
    }
}
