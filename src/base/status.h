/* base/status.h - one table of outcomes; what goes on the wire is a column of it.
 * Every fallible call returns an `enum status`. Why it failed travels in a `struct why` made of static strings:
 * nothing to free, and both the log and the tests read it. `clause` is what a reviewer looks up ("MT-54",
 * "RFC 9431 2.2.4.1", "MQTT5 [MQTT-3.1.2-24]", or the name of a setting); `text` is one plain sentence part. */
#ifndef SYMBOLON_BASE_STATUS_H
#define SYMBOLON_BASE_STATUS_H

#include "base/defs.h"

/* clang-format off */
/*     name            MQTT 5  OAuth error                  HTTP  meaning                                     */
#define STATUS_LIST(X)                                                                                        \
    X( OK,             0x00,   "",                          200, "done"                                    )  \
    X( MALFORMED,      0x81,   "invalid_request",           400, "bytes do not follow the grammar"         )  \
    X( PROTOCOL,       0x82,   "invalid_request",           400, "well-formed, but not allowed here"       )  \
    X( UNSUPPORTED,    0x83,   "invalid_request",           400, "a variant this program does not speak"   )  \
    X( BAD_VERSION,    0x84,   "invalid_request",           400, "protocol version not spoken here"        )  \
    X( BAD_CLIENT_ID,  0x85,   "invalid_request",           400, "client identifier not acceptable"        )  \
    X( BAD_TOPIC,      0x90,   "invalid_request",           400, "topic name not acceptable"               )  \
    X( BAD_FILTER,     0x8F,   "invalid_request",           400, "topic filter not acceptable"             )  \
    X( BAD_TOPIC_ALIAS,0x94,   "invalid_request",           400, "topic alias 0 or beyond the maximum"     )  \
    X( NO_RETAIN,      0x9A,   "invalid_request",           400, "retained messages are not kept here"     )  \
    X( BAD_QOS,        0x9B,   "invalid_request",           400, "a QoS beyond what is offered here"       )  \
    X( ELSEWHERE,      0x9C,   "temporarily_unavailable",   503, "another server is to be used"            )  \
    X( BAD_AUTH_METHOD,0x8C,   "invalid_request",           400, "authentication method not spoken here"   )  \
    X( BAD_CREDENTIAL, 0x87,   "invalid_client",            401, "credential unknown or wrong"             )  \
    X( BAD_TOKEN,      0x87,   "invalid_token",             401, "token not acceptable"                    )  \
    X( TOKEN_EXPIRED,  0x87,   "invalid_token",             401, "the token's life has ended"              )  \
    X( BAD_PROOF,      0x87,   "invalid_token",             401, "possession of the key was not proved"    )  \
    X( NOT_IN_SCOPE,   0x87,   "insufficient_scope",        403, "valid token that does not cover it"      )  \
    X( DENIED,         0x87,   "access_denied",             403, "not permitted to this caller"            )  \
    X( BAD_GRANT,      0x87,   "invalid_grant",             400, "grant not acceptable"                    )  \
    X( UNAUTHORIZED_CLIENT, 0x87, "unauthorized_client",    400, "client may not use this grant"           )  \
    X( BAD_GRANT_TYPE, 0x87,   "unsupported_grant_type",    400, "grant type not supported"                )  \
    X( BAD_SCOPE,      0x87,   "invalid_scope",             400, "scope unknown, malformed or not granted" )  \
    X( BAD_POP_KEY,    0x87,   "unsupported_pop_key",       400, "key the resource server cannot use"      )  \
    X( BAD_PROFILE,    0x87,   "incompatible_ace_profiles", 400, "no ACE profile in common"                )  \
    X( NOT_FOUND,      0x80,   "invalid_request",           404, "no such thing"                           )  \
    X( EXISTS,         0x80,   "invalid_request",           409, "already there"                           )  \
    X( UNREACHABLE,    0x88,   "temporarily_unavailable",   503, "a service we depend on did not answer"   )  \
    X( TIMEOUT,        0x80,   "temporarily_unavailable",   503, "it took longer than allowed"             )  \
    X( TOO_LARGE,      0x95,   "invalid_request",           413, "larger than allowed"                     )  \
    X( QUOTA,          0x97,   "temporarily_unavailable",   429, "more than our limits allow"              )  \
    X( NO_MEMORY,      0x97,   "server_error",              503, "out of memory"                           )  \
    X( IO,             0x83,   "server_error",              500, "operating system or storage error"       )  \
    X( DAMAGED,        0x83,   "server_error",              500, "stored data that makes no sense"         )  \
    X( INTERNAL,       0x83,   "server_error",              500, "our own fault"                           )  \
    X( PENDING,        0x18,   "",                          202, "the answer comes later"                  )
/* clang-format on */

enum status {
#define STATUS_ENUM(name, mqtt5, oauth, http, text) ST_##name,
    STATUS_LIST(STATUS_ENUM)
#undef STATUS_ENUM
        STATUSES
};

struct why {
    const char *clause; /* the rule, as it can be found: never NULL after reject() */
    const char *text;   /* in words; static */
    size_t at;          /* offset in the input where that applies, else 0 */
};

/* Fills `why` (which may be NULL) and returns `st`, so a refusal is one line: return reject(why, ST_…, …). */
enum status reject(struct why *why, enum status st, const char *clause, const char *text, size_t at);

const char *status_name(enum status st);        /* "NOT_IN_SCOPE" */
const char *status_text(enum status st);        /* "valid token that does not cover it" */
uint8_t status_mqtt5_code(enum status st);      /* 0x87 */
const char *status_oauth_error(enum status st); /* "insufficient_scope" */
int status_http_code(enum status st);           /* 403 */

#endif
