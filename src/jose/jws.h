/* jose/jws.h - signed text: JWS in compact serialization (RFC 7515; TK-23).
 * jws_parse() takes the three parts apart and reads the header strictly, but believes nothing; jws_check()
 * verifies; only then should jws_payload() be looked at.
 * Header:    "alg" must be HS256, ES256, EdDSA or its newer name Ed25519, or, of others only, RS256 or PS256 ("none" in
 *            any case is refused, TK-40); "crit" is refused, since no extension is understood (TK-47); "b64" likewise;
 *            jwk, jku, x5u, x5c are never used (TK-46).
 * Ownership: `struct jws` owns its header; every span in it is borrowed from that or from the text.
 * Failure:   ST_MALFORMED (not a JWS), ST_UNSUPPORTED (algorithm or extension not spoken), ST_BAD_TOKEN (the signature,
 *            or an algorithm that is not this key's).
 * Threads:   one. */
#ifndef SYMBOLON_JOSE_JWS_H
#define SYMBOLON_JOSE_JWS_H

#include "base/buf.h"
#include "codec/json.h"
#include "crypto/key.h"
#include "crypto/sign.h"

#define JOSE_MAX_HEADER 4096 /* bytes of decoded header */
#define JOSE_MAX_KID    512  /* bytes; a kid is compared, never interpreted (TK-45) */

struct jws {
    struct js *header;
    enum sig_alg alg;
    struct span kid, typ, cty; /* .p == NULL: absent */
    struct span signing_input; /* header.payload, as received */
    struct span payload_text;  /* still base64url */
    uint8_t signature[SIG_CHECK_MAX];
    size_t signature_len;
};

enum status jws_parse(struct span compact, struct jws *out, struct why *why) MUST_CHECK;
void jws_done(struct jws *jws); /* also after a failure */

/* The key decides which algorithm fits (TK-41): an HS256 header never meets a public key. */
enum status jws_check(const struct jws *jws, const struct key *key, struct why *why) MUST_CHECK;
/* Appends the decoded payload. */
enum status jws_payload(const struct jws *jws, struct buf *out, struct why *why) MUST_CHECK;

/* Appends header.payload.signature; the algorithm is the key's. `kid`, `typ`, `cty` may be SPAN_NONE. */
enum status jws_sign(const struct key *key, struct span kid, struct span typ, struct span cty,
                     struct span payload, struct buf *out) MUST_CHECK;

/* True if `type` (a typ or cty value) names the media type `want`, with or without "application/" in front, in
 * any case (RFC 7515 §4.1.9). */
bool jose_type_is(struct span type, const char *want);

#endif
