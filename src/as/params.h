/* as/params.h - the parameters of a request as one JSON object, however they came: application/json,
 * application/ace+json (RFC 9431 2.1), application/ace+cbor (token/ace_cbor.h; AF-27, AF-80), or
 * application/x-www-form-urlencoded (RFC 6749 App. B; AF-28).
 * In a form: `req_cnf` is the JSON text of its object; a parameter twice is refused (RFC 6749 3.2); one without a
 * value counts as absent (RFC 6749 3.2), except `ace_profile`, whose empty form is a question (AF-24).
 * Failure: ST_UNSUPPORTED: no such media type (HTTP 415); ST_MALFORMED; ST_TOO_LARGE: too many. Threads: no state. */
#ifndef SYMBOLON_AS_PARAMS_H
#define SYMBOLON_AS_PARAMS_H

#include "base/span.h"
#include "base/status.h"
#include "codec/json.h"
#include "token/ace_cbor.h"

#define PARAMS_MAX 64

enum media { MEDIA_OTHER, MEDIA_FORM, MEDIA_JSON, MEDIA_ACE_JSON, MEDIA_ACE_CBOR };
enum media params_media(struct span content_type);

/* With CBOR: `document` says which it is. */
enum status params_parse_ace(enum media media, enum ace_document document, struct span body,
                             struct js **ret_params, struct why *why) MUST_CHECK;
/* All but CBOR. */
enum status params_parse(struct span content_type, struct span body, struct js **ret_params,
                         struct why *why) MUST_CHECK;
/* A form only: what RFC 7009 and RFC 7662 ask for. */
enum status params_parse_form(struct span body, struct js **ret_params, struct why *why) MUST_CHECK;

/* Undoes application/x-www-form-urlencoded for one value (also the halves of Basic: RFC 6749 2.3.1). */
enum status form_decode(struct span text, struct buf *out, struct why *why) MUST_CHECK;

/* Text, absent (`*ret` is SPAN_NONE), or ST_MALFORMED for another kind of value. */
enum status params_text(const struct js *params, const char *name, struct span *ret,
                        struct why *why) MUST_CHECK;

#endif
