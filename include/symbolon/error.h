/* symbolon/error.h - how calls of libsymbolon fail.
 * Every fallible call returns an `enum symbolon_status` and, if the caller wants to know more, fills a
 * `struct symbolon_error` in the caller's memory (the pointer may be NULL). Nothing in it has to be freed.
 * Threads: functions here are pure. */
#ifndef SYMBOLON_ERROR_H
#define SYMBOLON_ERROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SYMBOLON_MUST_CHECK __attribute__((warn_unused_result))
#else
#define SYMBOLON_MUST_CHECK
#endif

/* The numbers are part of the ABI: new ones are added at the end only. */
enum symbolon_status {
    SYMBOLON_OK = 0,
    SYMBOLON_INVALID = 1,        /* an argument of the caller makes no sense */
    SYMBOLON_MALFORMED = 2,      /* bytes from a file or a peer do not follow their grammar */
    SYMBOLON_PROTOCOL = 3,       /* the peer did what MQTT or ACE does not allow */
    SYMBOLON_NOT_AUTHORIZED = 4, /* broker or authorization server said no; reason_code says which no */
    SYMBOLON_REFUSED = 5,        /* broker refused for another reason; see reason_code */
    SYMBOLON_UNTRUSTED = 6,      /* certificate, pinned key or authorization server not trusted */
    SYMBOLON_NO_TOKEN = 7,       /* a token is needed and there is no way to get one */
    SYMBOLON_TOKEN_EXPIRED = 8,  /* the token's life has ended */
    SYMBOLON_UNREACHABLE = 9,    /* nobody answered at that address */
    SYMBOLON_TIMEOUT = 10,       /* it took longer than allowed */
    SYMBOLON_CLOSED = 11,        /* the connection is not open (any more) */
    SYMBOLON_TOO_LARGE = 12,     /* larger than the peer, or we, accept */
    SYMBOLON_QUEUE_FULL = 13,    /* more unfinished messages than max_inflight + max_queue */
    SYMBOLON_UNSUPPORTED = 14,   /* a variant this library or the broker does not speak */
    SYMBOLON_IO = 15,            /* the operating system said no */
    SYMBOLON_NO_MEMORY = 16,
    SYMBOLON_INTERNAL = 17, /* our own fault */
    SYMBOLON_EXISTS = 18,   /* would overwrite something */
    SYMBOLON_NOT_FOUND = 19
};

struct symbolon_error {
    enum symbolon_status status;
    int reason_code; /* MQTT 5 reason code (MQTT5 2.4) when a packet carried one, else -1 */
    char clause[64]; /* the rule, as it can be found: "RFC 9431 2.2.4.1", "MQTT5 [MQTT-3.1.2-24]"; may be "" */
    char text[512];  /* one plain sentence, including the peer's reason string; UTF-8, no control bytes */
};

/* Bytes that belong to the caller of the function they are given to. `p` may be NULL if len is 0. */
struct symbolon_bytes {
    const void *p;
    size_t len;
};

/* "not authorized": static, for people. */
const char *symbolon_status_text(enum symbolon_status status);

/* MQTT 5 reason code in words ("Not authorized"); never NULL. */
const char *symbolon_reason_text(uint8_t reason_code);

/* Version of the library, "0.1.0". */
const char *symbolon_version(void);

#ifdef __cplusplus
}
#endif
#endif
