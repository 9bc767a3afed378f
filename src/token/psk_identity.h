/* token/psk_identity.h - what a client puts into the PSK identity of its TLS handshake (RFC 9431 2.2.3.2; MT-27, MT-28,
 * D-30), told apart by the first byte:
 *   a1 ...  CBOR {8: {1: {1: 4, 2: kid}}}: cnf with a COSE_Key of kty symmetric and the kid, and nothing else
 *   {  ...  JSON {"cnf":{"jwk":{"kty":"oct","kid":"..."}}}, in any order and with any whitespace
 *   else    the token itself: a JWT's text or a CWT's bytes
 * `token` points into the identity, `kid` into the struct. Threads: no state. */
#ifndef SYMBOLON_TOKEN_PSK_IDENTITY_H
#define SYMBOLON_TOKEN_PSK_IDENTITY_H

#include "base/buf.h"

#define PSK_IDENTITY_KID_MAX 255

struct psk_identity {
    struct span token;                       /* .p == NULL: it is a kid */
    struct span kid;                         /* the bytes; of the JSON form, its text */
    uint8_t kid_bytes[PSK_IDENTITY_KID_MAX]; /* holds `kid` */
};

/* ST_MALFORMED: a cnf structure that is not one of the above, or nothing. Whether a token is one, its verifier says. */
enum status psk_identity_parse(struct span identity, struct psk_identity *out, struct why *why) MUST_CHECK;

/* Appends the CBOR or JSON form. ST_MALFORMED: the kid is empty, too long, or no text for JSON. */
enum status psk_identity_write_cbor(struct span kid, struct buf *out) MUST_CHECK;
enum status psk_identity_write_json(struct span kid, struct buf *out) MUST_CHECK;

#endif
