/* token/hints.h - AS Request Creation Hints: the JSON in the user property "ace_as_hint" (MT-91, AF-12, AF-19).
 * {"AS":"https://as.example/token","audience":"...","kid":"<base64url>","cnonce":"<base64url>","scope":...}
 * Hints are not authenticated: a client uses them only towards an AS it already trusts for this broker (AF-13).
 * Ownership: as writer everything is borrowed; as reader everything is owned by the struct, hints_done(). */
#ifndef SYMBOLON_TOKEN_HINTS_H
#define SYMBOLON_TOKEN_HINTS_H

#include "base/buf.h"

#define ACE_AS_HINT     "ace_as_hint"
#define HINTS_MAX_BYTES 4096

struct hints {
    struct span as;       /* absolute https URI; mandatory in MQTT */
    struct span audience; /* .p == NULL: absent; as all below */
    struct span kid;      /* bytes */
    struct span cnonce;   /* bytes */
    struct span scope;    /* text: a string as it is, a JSON array as its JSON text */

    uint8_t *owned; /* reader's memory */
};

enum status hints_write(const struct hints *hints, struct buf *out) MUST_CHECK;
enum status hints_parse(struct span json, struct hints *out, struct why *why) MUST_CHECK;
void hints_done(struct hints *hints);

#endif
