/* token/ace_cbor.h - the documents of RFC 9200 in CBOR (`application/ace+cbor`) as the JSON objects everything else here
 * works on, and back: names <-> integers, enumerated values <-> integers, bytes <-> base64url, COSE_Key <-> JWK.
 * One translation at the door; behind it nobody asks how a document came (AF-5, AF-7, AF-8, AF-27, AF-51, AF-80).
 *
 *   names        those registered travel as integers only: as text they are refused (AF-7). Names without an integer
 *                (client_assertion, req_cnf_proof) are text keys. Integers nobody registered are skipped, as unknown
 *                parameters are (RFC 6749 3.1). One integer means different things in different documents (AF 5: 33, 40),
 *                so each has its own table.
 *   enumerated   grant_type, token_type, error, ace_profile: names in JSON, integers in CBOR, never names there (AF-8).
 *                A number without a name stays a number. A null ace_profile stays null (AF-24).
 *   bytes        cnonce, cti: base64url. refresh_token, client_secret, code: the bytes are the text.
 *   access_token, token   a JWT or a reference: the bytes are the text; a CWT: base64url of its bytes, recognised by its
 *                COSE tag. See ace_token_bytes().
 *   scope        text stays text; bytes are base64url in JSON; an AIF array, or base64url of one, becomes AIF in CBOR.
 *   cnf, req_cnf, rs_cnf   {1: COSE_Key} <-> {"jwk"}, {3: kid} <-> {"kid"}, {34: [-16, h]} <-> {"x5t#S256"}
 *                (COSE_CertHash under its header label, RFC 9360). Other members are skipped (TK-2).
 *   kid          bytes that are text are that text; others (and text that looks like it) are "base64url:" and base64url.
 *                In hints always base64url (AF-19).
 *   cti          "jti" in JSON (section 5.4 of RFC 9200).
 *
 * Failure: ST_MALFORMED, ST_TOO_LARGE, ST_BAD_POP_KEY (AF-52, AF-46), ST_NO_MEMORY.
 * Threads: no state. */
#ifndef SYMBOLON_TOKEN_ACE_CBOR_H
#define SYMBOLON_TOKEN_ACE_CBOR_H

#include "base/buf.h"
#include "codec/json.h"

#define ACE_CBOR_MEDIA_TYPE "application/ace+cbor"
#define ACE_JSON_MEDIA_TYPE "application/ace+json"

enum ace_document {
    ACE_TOKEN_REQUEST,          /* RFC 9200 5.8.1 */
    ACE_TOKEN_RESPONSE,         /* 5.8.2, and errors: 5.8.3 */
    ACE_INTROSPECTION_REQUEST,  /* 5.9.1 */
    ACE_INTROSPECTION_RESPONSE, /* 5.9.2, and errors: 5.9.3 */
    ACE_HINTS,                  /* 5.3 */
    ACE_DOCUMENTS
};

enum status ace_from_cbor(enum ace_document document, struct span cbor, size_t max_bytes, struct js **ret_js,
                          struct why *why) MUST_CHECK;
/* Appends deterministic CBOR (RFC 8949 4.2.1). Members whose value has no form in CBOR: ST_MALFORMED. */
enum status ace_to_cbor(enum ace_document document, const struct js *js, struct buf *out,
                        struct why *why) MUST_CHECK;

/* What is presented to a resource server (and hashed: token/token.h) for an `access_token` text of a JSON document: the
 * bytes of a CWT, else the text itself. Appends. */
enum status ace_token_bytes(struct span text, struct buf *out) MUST_CHECK;
/* The reverse. ST_MALFORMED: neither a CWT nor text. */
enum status ace_token_text(struct span token, struct buf *out) MUST_CHECK;

/* A `kid` text as the bytes it stands for. Appends. */
enum status ace_kid_bytes(struct span text, struct buf *out) MUST_CHECK;
enum status ace_kid_text(struct span kid, struct buf *out) MUST_CHECK;

/* Profile names and their numbers (RFC 9200 8.8; ACE Profiles registry). NULL or -1: not registered. */
const char *ace_profile_name(int64_t number);
int64_t ace_profile_number(struct span name);

#endif
