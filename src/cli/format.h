/* cli/format.h - how `sub` and `rr` print a message: mosquitto_sub's -F.
 *   %t topic   %p payload   %x %X payload in hex   %l its length   %q QoS   %r retained (0 or 1)   %m packet identifier
 *   %U Unix time with nanoseconds   %I ISO 8601 time   %j JSON   %J JSON, payload as JSON itself
 *   %A topic alias   %C content type   %D correlation data   %E expiry in seconds   %F payload format indicator
 *   %R response topic   %S subscription identifier   %P user properties
 *   %%   @X what strftime makes of %X   @N nanoseconds   @@   and the escapes \n \t \r \v \\ \" \a \e \0
 * Behind the %: - left aligned, 0 padded with zeroes, a width, and for C I R t .N the most that is printed.
 * JSON has tst, topic, qos, retain, payloadlen, mid, properties, and payload or, if that is not UTF-8, payload_hex. */
#ifndef SYMBOLON_CLI_FORMAT_H
#define SYMBOLON_CLI_FORMAT_H

#include "base/buf.h"
#include "symbolon/client.h"

#include <time.h>

/* False with the position of what is not known. */
bool format_check(const char *format, size_t *ret_at);

enum format_for { FORMAT_PROGRAM, FORMAT_TERMINAL };

/* Appends one message; `format` was checked. `pretty` breaks JSON into lines. For a terminal the control characters of the
 * message (not those of the format) become "?", but newlines and tabs of the payload: whoever publishes, or the broker,
 * must not command it. ST_MALFORMED: %J and the payload is no JSON. */
enum status format_message(const char *format, bool pretty, enum format_for reader,
                           const struct symbolon_message *message, struct timespec now,
                           struct buf *out) MUST_CHECK;

#endif
