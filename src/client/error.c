#include "base/utf8.h"
#include "client/error_priv.h"
#include "mqtt/reason.h"

#include <stdarg.h>
#include <stdio.h>

/* clang-format off */
static const enum symbolon_status public_status[STATUSES] = {
    [ST_OK]                  = SYMBOLON_OK,
    [ST_MALFORMED]           = SYMBOLON_MALFORMED,
    [ST_PROTOCOL]            = SYMBOLON_PROTOCOL,
    [ST_UNSUPPORTED]         = SYMBOLON_UNSUPPORTED,
    [ST_BAD_VERSION]         = SYMBOLON_UNSUPPORTED,
    [ST_BAD_CLIENT_ID]       = SYMBOLON_INVALID,
    [ST_BAD_TOPIC]           = SYMBOLON_INVALID,
    [ST_BAD_FILTER]          = SYMBOLON_INVALID,
    [ST_BAD_TOPIC_ALIAS]     = SYMBOLON_PROTOCOL,
    [ST_NO_RETAIN]           = SYMBOLON_UNSUPPORTED,
    [ST_BAD_QOS]             = SYMBOLON_UNSUPPORTED,
    [ST_ELSEWHERE]           = SYMBOLON_REFUSED,
    [ST_BAD_AUTH_METHOD]     = SYMBOLON_UNSUPPORTED,
    [ST_BAD_CREDENTIAL]      = SYMBOLON_NOT_AUTHORIZED,
    [ST_BAD_TOKEN]           = SYMBOLON_NOT_AUTHORIZED,
    [ST_TOKEN_EXPIRED]       = SYMBOLON_TOKEN_EXPIRED,
    [ST_BAD_PROOF]           = SYMBOLON_NOT_AUTHORIZED,
    [ST_NOT_IN_SCOPE]        = SYMBOLON_NOT_AUTHORIZED,
    [ST_DENIED]              = SYMBOLON_UNTRUSTED,
    [ST_BAD_GRANT]           = SYMBOLON_NOT_AUTHORIZED,
    [ST_UNAUTHORIZED_CLIENT] = SYMBOLON_NOT_AUTHORIZED,
    [ST_BAD_GRANT_TYPE]      = SYMBOLON_UNSUPPORTED,
    [ST_BAD_SCOPE]           = SYMBOLON_NOT_AUTHORIZED,
    [ST_BAD_POP_KEY]         = SYMBOLON_UNSUPPORTED,
    [ST_BAD_PROFILE]         = SYMBOLON_UNSUPPORTED,
    [ST_NOT_FOUND]           = SYMBOLON_NOT_FOUND,
    [ST_EXISTS]              = SYMBOLON_EXISTS,
    [ST_UNREACHABLE]         = SYMBOLON_UNREACHABLE,
    [ST_TIMEOUT]             = SYMBOLON_TIMEOUT,
    [ST_TOO_LARGE]           = SYMBOLON_TOO_LARGE,
    [ST_QUOTA]               = SYMBOLON_QUEUE_FULL,
    [ST_NO_MEMORY]           = SYMBOLON_NO_MEMORY,
    [ST_IO]                  = SYMBOLON_IO,
    [ST_DAMAGED]             = SYMBOLON_IO,
    [ST_INTERNAL]            = SYMBOLON_INTERNAL,
    [ST_PENDING]             = SYMBOLON_INTERNAL,
};

static const char *const texts[] = {
    [SYMBOLON_OK]             = "done",
    [SYMBOLON_INVALID]        = "argument not acceptable",
    [SYMBOLON_MALFORMED]      = "malformed data",
    [SYMBOLON_PROTOCOL]       = "protocol error",
    [SYMBOLON_NOT_AUTHORIZED] = "not authorized",
    [SYMBOLON_REFUSED]        = "refused",
    [SYMBOLON_UNTRUSTED]      = "not trusted",
    [SYMBOLON_NO_TOKEN]       = "no token",
    [SYMBOLON_TOKEN_EXPIRED]  = "token expired",
    [SYMBOLON_UNREACHABLE]    = "unreachable",
    [SYMBOLON_TIMEOUT]        = "took too long",
    [SYMBOLON_CLOSED]         = "connection closed",
    [SYMBOLON_TOO_LARGE]      = "too large",
    [SYMBOLON_QUEUE_FULL]     = "queue full",
    [SYMBOLON_UNSUPPORTED]    = "not supported",
    [SYMBOLON_IO]             = "operating system error",
    [SYMBOLON_NO_MEMORY]      = "out of memory",
    [SYMBOLON_INTERNAL]       = "internal error",
    [SYMBOLON_EXISTS]         = "already there",
    [SYMBOLON_NOT_FOUND]      = "not found",
};
/* clang-format on */

const char *symbolon_status_text(enum symbolon_status status)
{
    return (size_t)status < COUNT_OF(texts) ? texts[status] : "unknown status";
}

const char *symbolon_version(void)
{
    return SYMBOLON_VERSION;
}

/* Copies as much as fits, never ending in the middle of a UTF-8 sequence. */
static void copy_text(char *to, size_t cap, const char *from)
{
    size_t len = strlen(from);

    if (len >= cap) {
        len = cap - 1;
        while (len > 0 && ((unsigned char)from[len] & 0xc0) == 0x80)
            len--;
    }
    memcpy(to, from, len);
    to[len] = '\0';
}

enum symbolon_status error_set(struct symbolon_error *error, enum symbolon_status status, const char *clause,
                               const char *fmt, ...)
{
    CLEANUP(freep)
    char *text = NULL;
    va_list args;

    if (error == NULL)
        return status;
    *error = (struct symbolon_error){ .status = status, .reason_code = NO_REASON_CODE };
    copy_text(error->clause, sizeof error->clause, clause == NULL ? "" : clause);
    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0)
        text = NULL;
    va_end(args);
    copy_text(error->text, sizeof error->text, text == NULL ? symbolon_status_text(status) : text);
    utf8_tame(error->text); /* what a peer says is shown to people: nothing in it may steer a terminal */
    return status;
}

enum symbolon_status error_from(struct symbolon_error *error, enum status st, const struct why *why)
{
    ASSERT(st < STATUSES);
    if (st == ST_OK)
        return error_none(error);
    return error_set(error, public_status[st], why->clause, "%s",
                     why->text == NULL ? status_text(st) : why->text);
}

enum symbolon_status error_about(struct symbolon_error *error, enum status st, const struct why *why,
                                 const char *about)
{
    ASSERT(st < STATUSES && st != ST_OK);
    return error_set(error, public_status[st], why->clause, "%s: %s", about,
                     why->text == NULL ? status_text(st) : why->text);
}

#define RC_NOT_AUTHORIZED 0x87

enum symbolon_status error_from_reason(struct symbolon_error *error, const char *packet, uint8_t code,
                                       struct span reason_string)
{
    enum symbolon_status st = code < 0x80                 ? SYMBOLON_OK
                              : code == RC_NOT_AUTHORIZED ? SYMBOLON_NOT_AUTHORIZED
                                                          : SYMBOLON_REFUSED;

    struct span words = reason_string.len > 0 ? reason_string : span_of_str(mqtt_reason_words(code));

    error_set(error, st, packet, "%s (0x%02X): %.*s", symbolon_reason_text(code), code, SPAN_FMT(words));
    if (error != NULL)
        error->reason_code = code;
    return st;
}

enum symbolon_status error_none(struct symbolon_error *error)
{
    if (error != NULL)
        *error = (struct symbolon_error){ .status = SYMBOLON_OK, .reason_code = NO_REASON_CODE };
    return SYMBOLON_OK;
}

const char *symbolon_reason_text(uint8_t reason_code)
{
    return mqtt_reason_name(MQTT_CONNACK, reason_code);
}
