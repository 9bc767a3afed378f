/* cli/format.h - how `sub` and `rr` print a message: mosquitto_sub's -F, in part.
 *   %t topic   %p payload   %x %X payload in hex   %l its length   %q QoS   %r retained (0 or 1)   %m packet identifier
 *   %U Unix time with nanoseconds   %I ISO 8601 time   %j JSON   %J JSON, payload as JSON itself
 *   %C content type   %D correlation data in hex   %E expiry in seconds   %R response topic   %P user properties
 *   %%   and the escapes \n \t \r \\ \" \a \e \0
 * JSON has topic, qos, retain, payloadlen, tst, and either payload or, if that is not UTF-8, payload_hex. */
#ifndef SYMBOLON_CLI_FORMAT_H
#define SYMBOLON_CLI_FORMAT_H

#include "base/buf.h"
#include "symbolon/client.h"

#include <time.h>

/* False with the position of what is not known. */
bool format_check(const char *format, size_t *ret_at);

/* Appends one message; `format` was checked. ST_MALFORMED: %J and the payload is no JSON. */
enum status format_message(const char *format, const struct symbolon_message *message, struct timespec now,
                           struct buf *out) MUST_CHECK;

#endif
