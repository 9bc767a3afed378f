/* token/auth_data.h - what is inside MQTT Authentication Data of method "ace", and the proof of possession
 * (RFC 9431 §2.2.4.2; mqtt-tls-profile.md section 5.1).
 *
 *   A  CONNECT, proof over the TLS exporter     tlen(2) | token | pop
 *   B  CONNECT, or AUTH 0x19 (re-authentication) tlen(2) | token          ask for a challenge
 *   C  AUTH 0x18 from the broker                rs_nonce(8)
 *   D9 AUTH 0x18 from the client, RFC 9431      client_nonce(8) | pop
 *   D6 the same in draft-06                     nlen(2) | client_nonce(nlen) | pop
 *
 * Proofs have a fixed length per key (MT-63), so D9 and D6 are told apart by length alone, and once (D-1).
 * The exporter value or rs_nonce | client_nonce is signed as it is, without framing (MT-57).
 * Spans point into the input. No allocation except in writers. */
#ifndef SYMBOLON_TOKEN_AUTH_DATA_H
#define SYMBOLON_TOKEN_AUTH_DATA_H

#include "base/buf.h"
#include "crypto/key.h"
#include "crypto/sign.h"

#define ACE_METHOD         "ace" /* Authentication Method, case-sensitive (MT-51, D-8) */
#define ACE_EXPORTER_LABEL "EXPORTER-ACE-MQTT-Sign-Challenge"
#define ACE_EXPORTER_LEN   32
#define ACE_NONCE_LEN      8
#define ACE_NONCE_MAX      64 /* longest client nonce of layout D6 (D-1) */
#define ACE_POP_MAX        SIG_MAX

/* Layouts A and B: `pop` is empty in B. */
struct auth_data {
    struct span token;
    struct span pop;
};
/* ST_MALFORMED: token length beyond the data, or no token at all. */
enum status auth_data_parse_connect(struct span data, struct auth_data *out, struct why *why) MUST_CHECK;

/* Layouts D9 and D6. */
struct auth_answer {
    struct span nonce;
    struct span pop;
    bool draft06;
};
/* `pop_len` is that of the key of the token: pop_len_for(). Total - pop_len = 8: D9; = 2 + nlen with nlen, the
 * first two bytes, from 8 to 64: D6; anything else ST_MALFORMED. */
enum status auth_data_parse_answer(struct span data, size_t pop_len, struct auth_answer *out,
                                   struct why *why) MUST_CHECK;
/* Layout C. ST_MALFORMED unless it is exactly 8 bytes. */
enum status auth_data_parse_challenge(struct span data, struct span *ret_nonce, struct why *why) MUST_CHECK;

/* Client side. `pop` empty: layout B. ST_MALFORMED without a token, ST_TOO_LARGE if it does not fit MQTT Binary
 * Data (65535 bytes). */
enum status auth_data_write_connect(struct span token, struct span pop, struct buf *out) MUST_CHECK;
enum status auth_data_write_answer(struct span client_nonce, struct span pop, bool draft06,
                                   struct buf *out) MUST_CHECK;

/* Each key proves with one algorithm (MT-64): a secret HS256, Ed25519 EdDSA, P-256 ES256 (raw r|s). */
enum sig_alg pop_alg_for(const struct key *key);
size_t pop_len_for(const struct key *key);

/* MT-56, MT-57: over the exporter value. */
enum status pop_make_exporter(const struct key *key, struct span exporter, struct buf *out) MUST_CHECK;
enum status pop_check_exporter(const struct key *key, struct span exporter, struct span pop,
                               struct why *why) MUST_CHECK;
/* Over rs_nonce | client_nonce. The rs_nonce must be 8 bytes, the client's 8 to ACE_NONCE_MAX. */
enum status pop_make_nonces(const struct key *key, struct span rs_nonce, struct span client_nonce,
                            struct buf *out) MUST_CHECK;
enum status pop_check_nonces(const struct key *key, struct span rs_nonce, struct span client_nonce,
                             struct span pop, struct why *why) MUST_CHECK;

#endif
