/* symbolon/ace.h - lower layer: ACE for MQTT (RFC 9200, RFC 9431) beside any MQTT and TLS stack.
 * No I/O, no TLS, no clock of its own: given exporter bytes or a challenge, a token and a key it produces the
 * Authentication Data of CONNECT and AUTH; it parses the broker's hints, builds the requests for the
 * authorization server (AS) and reads its answers. The caller moves the bytes.
 *
 *   CONNECT  Authentication Method "ace"
 *            Authentication Data   symbolon_ace_connect_exporter()   token + proof over 32 exporter bytes
 *                               or symbolon_ace_connect_challenge()  token only; the broker answers with AUTH
 * 0x18 AUTH     Authentication Data   symbolon_ace_answer()             answer to the 8-byte challenge AUTH
 * 0x19 (re-authentication)  symbolon_ace_connect_challenge()  with the new token, then symbolon_ace_answer()
 *
 * Ownership: results are written to the caller's buffer or are heap text to be freed as said at each function.
 * Failure:   a status; ret_... is written on SYMBOLON_OK only.
 * Threads:   pure functions; any thread. */
#ifndef SYMBOLON_ACE_H
#define SYMBOLON_ACE_H

#include "symbolon/key.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SYMBOLON_ACE_METHOD "ace" /* RFC 9431 2.2.4.2 (MT-51) */
#define SYMBOLON_ACE_EXPORTER_LABEL \
    "EXPORTER-ACE-MQTT-Sign-Challenge" /* context: present, of length 0 (MT-56) */
#define SYMBOLON_ACE_EXPORTER_LEN  32
#define SYMBOLON_ACE_NONCE_LEN     8
#define SYMBOLON_ACE_HINT_PROPERTY "ace_as_hint" /* User Property of a CONNACK 0x87 (MT-91) */
#define SYMBOLON_ACE_AUTH_DATA_MAX 65535
#define SYMBOLON_ACE_PROOF_MAX     64

/* ---- Authentication Data. `out` has `out_cap` bytes (SYMBOLON_ACE_AUTH_DATA_MAX is always enough); *ret_len
 * is what was written. SYMBOLON_TOO_LARGE if it does not fit. ---- */

/* Layout A (RFC 9431 2.2.4.2.1): token length, token, proof over the TLS exporter value. Once per TLS session
 * and never on a resumed one (MT-61): then use challenge/response. */
enum symbolon_status symbolon_ace_connect_exporter(struct symbolon_bytes token, const struct symbolon_key *key,
                                                   const uint8_t exporter[SYMBOLON_ACE_EXPORTER_LEN],
                                                   uint8_t *out, size_t out_cap, size_t *ret_len,
                                                   struct symbolon_error *error) SYMBOLON_MUST_CHECK;

/* Layout B (RFC 9431 2.2.4.2.2): token length and token, nothing after it; also starts a re-authentication. */
enum symbolon_status symbolon_ace_connect_challenge(struct symbolon_bytes token, uint8_t *out, size_t out_cap,
                                                    size_t *ret_len,
                                                    struct symbolon_error *error) SYMBOLON_MUST_CHECK;

enum symbolon_ace_layout {
    SYMBOLON_ACE_RFC9431 = 0, /* client nonce (8), proof */
    SYMBOLON_ACE_DRAFT06 = 1  /* nonce length (2), client nonce (8), proof: brokers of 2020 */
};

/* Answers the broker's challenge (8 bytes, else SYMBOLON_PROTOCOL). `client_nonce` NULL: a fresh random one. */
enum symbolon_status symbolon_ace_answer(struct symbolon_bytes challenge, const struct symbolon_key *key,
                                         const uint8_t *client_nonce, enum symbolon_ace_layout layout,
                                         uint8_t *out, size_t out_cap, size_t *ret_len,
                                         struct symbolon_error *error) SYMBOLON_MUST_CHECK;

/* ---- MQTT 3.1.1, which has no Authentication Data: CONNECT with User Name flag 1 and Password flag 1 (RFC 9431 6).
 * There is no challenge and there are no hints: the token
 * must be at hand, and a resumed TLS session cannot be used (MT-61). ---- */

/* User Name: "ace" and the token as text without NUL, at most 65535 bytes of it. SYMBOLON_ACE_RFC9431: base64url
 * without padding, always. SYMBOLON_ACE_DRAFT06: the token as it is if it is UTF-8 without U+0000, else Base64. */
enum symbolon_status symbolon_ace_v3_user_name(struct symbolon_bytes token, enum symbolon_ace_layout layout,
                                               uint8_t *out, size_t out_cap, size_t *ret_len,
                                               struct symbolon_error *error) SYMBOLON_MUST_CHECK;

/* Password: the bare proof over the TLS exporter value, binary, at most SYMBOLON_ACE_PROOF_MAX bytes. */
enum symbolon_status symbolon_ace_v3_password(const struct symbolon_key *key,
                                              const uint8_t exporter[SYMBOLON_ACE_EXPORTER_LEN], uint8_t *out,
                                              size_t out_cap, size_t *ret_len,
                                              struct symbolon_error *error) SYMBOLON_MUST_CHECK;

/* ---- AS Request Creation Hints: value of the User Property ace_as_hint (RFC 9200 5.3, RFC 9431 2.4.1) ----
 * Hints are not authenticated: the caller must know by other means that this AS may issue tokens for this
 * broker (RFC 9200 5.1, AF-13). symbolon_url_same_origin() compares with a list of trusted ones. */
struct symbolon_hints {
    char *as_url;   /* always there */
    char *audience; /* these three may be NULL */
    char *scope;    /* as it came: JSON text */
    char *cnonce;   /* base64url, to be copied into the token request */
};

enum symbolon_status symbolon_hints_parse(struct symbolon_bytes json, struct symbolon_hints *ret_hints,
                                          struct symbolon_error *error) SYMBOLON_MUST_CHECK;
void symbolon_hints_done(struct symbolon_hints *hints);

/* True if both are http(s) URLs with the same scheme, host (case-insensitive) and port (defaults filled in). */
bool symbolon_url_same_origin(const char *a, const char *b);

/* ---- Token request: the JSON body of POST <token endpoint>, Content-Type application/ace+json ---- */
struct symbolon_token_request {
    const char *token_endpoint; /* absolute URL: audience of the assertion and of the proof */
    const char *client_id;
    const char *audience;   /* NULL: the client's default */
    const char *scope_json; /* AIF array as JSON text, e.g. [["a/#",["sub"]]]; NULL: all that policy allows */
    const char *cnonce;     /* from the hints; NULL if none */
    const char *client_secret;             /* sent as client_secret in the body (client_secret_post); or NULL */
    const struct symbolon_key *client_key; /* signs a client assertion (private_key_jwt, RFC 7523); or NULL */
    const struct symbolon_key *pop_key;    /* asks for a token bound to this key; NULL: the AS makes a secret */
    int64_t now_s;                         /* Unix time, for iat and exp of assertion and proof */
    const char
        *refresh_token; /* of an earlier response: the next token for the same key and audience; or NULL */
};

#define SYMBOLON_ASSERTION_LIFE_S 120

/* `*ret_json` is heap text (symbolon_free()). A pop_key other than client_key is proved by `req_cnf_proof`, a
 * JWS by the key itself (RFC 9201 3.1 asks for a proof and leaves the form open). */
enum symbolon_status symbolon_token_request(const struct symbolon_token_request *request, char **ret_json,
                                            struct symbolon_error *error) SYMBOLON_MUST_CHECK;

/* ---- Token response ---- */
#define SYMBOLON_X5T_LEN 32

struct symbolon_token {
    char *access_token;
    int64_t expires_at_s; /* Unix time: now_s + expires_in */
    int64_t obtained_at_s;
    char *scope;              /* JSON text if the AS named one, else NULL */
    struct symbolon_key *key; /* of the response's cnf (symmetric), else NULL: the request's key */
    bool has_rs_x5t;          /* rs_cnf: SHA-256 of the broker's certificate (MT-26) */
    uint8_t rs_x5t[SYMBOLON_X5T_LEN];
    char *rs_jwk;        /* rs_cnf: the broker's public key as JWK text, else NULL */
    char *kid;           /* of `key`: names it in a PSK identity (MT-27); NULL if the AS gave none */
    char *refresh_token; /* asks for the next token without other proof than the client's own; NULL: none */
};

/* Reads the AS's answer: `http_status` and body, to a request with this `pop_key` (or NULL). An error answer becomes
 * SYMBOLON_NOT_AUTHORIZED (or what fits) with error and error_description in `error`. Refused: a response without a
 * life time (RFC 9200 5.10.4), another profile or token type than mqtt_tls and PoP, a cnf with another key than ours,
 * none at all when the AS had to make one, rs_cnf beside a symmetric key (RFC 9201 3.2). */
enum symbolon_status symbolon_token_response(int http_status, struct symbolon_bytes body,
                                             const struct symbolon_key *pop_key, int64_t now_s,
                                             struct symbolon_token *ret_token,
                                             struct symbolon_error *error) SYMBOLON_MUST_CHECK;
void symbolon_token_done(struct symbolon_token *token);

/* What a broker is shown of `access_token`: the text itself, or the bytes of a CWT, which JSON carries as base64url.
 * `out` as in symbolon_ace_connect_exporter(). */
enum symbolon_status symbolon_token_bytes(const char *access_token, uint8_t *out, size_t out_cap,
                                          size_t *ret_len, struct symbolon_error *error) SYMBOLON_MUST_CHECK;

/* ---- Enrolment: JSON body of POST <AS>/enroll, which registers `key` for a client with a one-time code ----
 */
enum symbolon_status symbolon_enroll_request(const char *enroll_endpoint, const char *code,
                                             const char *client_id, const struct symbolon_key *key,
                                             int64_t now_s, char **ret_json,
                                             struct symbolon_error *error) SYMBOLON_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
