#include "crypto/key.h"

#include "crypto/curve_priv.h"
#include "crypto/key_priv.h"
#include "crypto/random.h"
#include "crypto/secret.h"

#include <stdlib.h>

#define GENERATE_TRIES 64 /* a random 256-bit number is no P-256 key once in 2^32 */

/* refs 1, everything else zero */
static struct key *key_alloc(enum key_kind kind, size_t secret_len)
{
    struct key *key = calloc(1, sizeof *key + secret_len);
    if (key == NULL)
        return NULL;
    atomic_init(&key->refs, 1);
    key->kind = kind;
    key->secret_len = secret_len;
    return key;
}

struct key *key_ref(const struct key *key)
{
    struct key *counted = (struct key *)(uintptr_t)key; /* the count is the one thing that is not immutable */
    atomic_fetch_add_explicit(&counted->refs, 1, memory_order_relaxed);
    return counted;
}

void key_unref(struct key *key)
{
    if (key == NULL || atomic_fetch_sub_explicit(&key->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (key->kind == KEY_P256)
        p256_private_free(key->object.p256);
    if (key->kind == KEY_RSA && key->object.rsa != NULL)
        gnutls_pubkey_deinit(key->object.rsa);
    secret_wipe(key, sizeof *key + key->secret_len);
    free(key);
}

void key_unrefp(struct key **key)
{
    key_unref(*key);
}

enum status key_new_secret(struct span secret, struct key **ret_key, struct why *why)
{
    if (secret.len == 0 || secret.len > KEY_SECRET_MAX)
        return reject(why, ST_MALFORMED, "RFC 7518 6.4.1", "length of a symmetric key", 0);
    struct key *key = key_alloc(KEY_SECRET, secret.len);
    if (key == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    key->is_private = true;
    memcpy(key->secret, secret.p, secret.len);
    *ret_key = key;
    return ST_OK;
}

enum status key_new_ed25519_public(struct span x, struct key **ret_key, struct why *why)
{
    if (x.len != KEY_PART_LEN)
        return reject(why, ST_MALFORMED, "RFC 8032 5.1.5", "an Ed25519 public key has 32 bytes", 0);
    if (!ed25519_acceptable(x.p))
        return reject(why, ST_MALFORMED, "TK-60", "small-order or non-canonical Ed25519 public key", 0);
    struct key *key = key_alloc(KEY_ED25519, 0);
    if (key == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    memcpy(key->x, x.p, KEY_PART_LEN);
    *ret_key = key;
    return ST_OK;
}

enum status key_new_ed25519_private(struct span seed, struct key **ret_key, struct why *why)
{
    if (seed.len != KEY_PART_LEN)
        return reject(why, ST_MALFORMED, "RFC 8032 5.1.5", "an Ed25519 private key has 32 bytes", 0);
    CLEANUP(key_unrefp)
    struct key *key = key_alloc(KEY_ED25519, 0);
    if (key == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    key->is_private = true;
    memcpy(key->d, seed.p, KEY_PART_LEN);
    if (ed25519_public_of(key->d, key->x) != ST_OK)
        return reject(why, ST_INTERNAL, "RFC 8032 5.1.5", "the library for Ed25519 does not start", 0);
    *ret_key = TAKE(key);
    return ST_OK;
}

enum status key_new_p256_public(struct span x, struct span y, struct key **ret_key, struct why *why)
{
    if (x.len != KEY_PART_LEN || y.len != KEY_PART_LEN)
        return reject(why, ST_MALFORMED, "RFC 7518 6.2.1.2", "a P-256 coordinate has 32 bytes", 0);
    enum status st = p256_on_curve(x.p, y.p);
    if (st == ST_NO_MEMORY)
        return reject(why, st, "memory", "out of memory", 0);
    if (st != ST_OK)
        return reject(why, st, "TK-61", "not a point of P-256", 0);
    struct key *key = key_alloc(KEY_P256, 0);
    if (key == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    memcpy(key->x, x.p, KEY_PART_LEN);
    memcpy(key->y, y.p, KEY_PART_LEN);
    *ret_key = key;
    return ST_OK;
}

enum status key_new_p256_private(struct span d, struct key **ret_key, struct why *why)
{
    if (d.len != KEY_PART_LEN)
        return reject(why, ST_MALFORMED, "RFC 7518 6.2.2.1", "a P-256 private key has 32 bytes", 0);
    CLEANUP(key_unrefp)
    struct key *key = key_alloc(KEY_P256, 0);
    if (key == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    key->is_private = true;
    memcpy(key->d, d.p, KEY_PART_LEN);
    enum status st = p256_private_new(key->d, key->x, key->y, &key->object.p256);
    if (st == ST_MALFORMED)
        return reject(why, st, "RFC 7518 6.2.2.1", "P-256 private key out of range", 0);
    if (st != ST_OK)
        return reject(why, st, "memory", "out of memory", 0);
    *ret_key = TAKE(key);
    return ST_OK;
}

static bool rsa_acceptable(struct span n, struct span e)
{
    return n.len >= KEY_RSA_MIN && n.len <= KEY_RSA_MAX && n.p[0] != 0 && (n.p[n.len - 1] & 1) != 0 &&
           e.len > 0 && e.len <= sizeof(uint32_t) && e.p[0] != 0 && (e.p[e.len - 1] & 1) != 0 &&
           (e.len > 1 || e.p[0] > 1);
}

static enum status make_rsa_object(struct key *key)
{
    gnutls_datum_t modulus = key_datum(key_n(key)), exponent = key_datum(key_e(key));
    int rc = gnutls_pubkey_init(&key->object.rsa);

    if (rc == 0)
        rc = gnutls_pubkey_import_rsa_raw(key->object.rsa, &modulus, &exponent);
    return rc == 0 ? ST_OK : rc == GNUTLS_E_MEMORY_ERROR ? ST_NO_MEMORY : ST_MALFORMED;
}

enum status key_new_rsa_public(struct span n, struct span e, struct key **ret_key, struct why *why)
{
    if (!rsa_acceptable(n, e))
        return reject(why, ST_MALFORMED, "RFC 7518 3.3", "not an RSA key of 2048 to 4096 bits", 0);
    CLEANUP(key_unrefp)
    struct key *key = key_alloc(KEY_RSA, n.len + e.len);
    if (key == NULL)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    key->exponent_len = e.len;
    memcpy(key->secret, n.p, n.len);
    memcpy(key->secret + n.len, e.p, e.len);
    enum status st = make_rsa_object(key);
    if (st != ST_OK)
        return reject(why, st, "RFC 7517 4", "not a key", 0);
    *ret_key = TAKE(key);
    return ST_OK;
}

enum status key_generate(enum key_kind kind, struct key **ret_key)
{
    uint8_t bytes[KEY_SECRET_NEW_LEN];
    enum status st = kind == KEY_RSA ? ST_UNSUPPORTED : ST_INTERNAL;

    for (int i = 0; i < GENERATE_TRIES && kind != KEY_RSA; i++) {
        st = random_bytes(bytes, sizeof bytes);
        if (st != ST_OK)
            break;
        struct span s = span_of(bytes, sizeof bytes);
        st = kind == KEY_SECRET    ? key_new_secret(s, ret_key, NULL)
             : kind == KEY_ED25519 ? key_new_ed25519_private(s, ret_key, NULL)
                                   : key_new_p256_private(s, ret_key, NULL);
        if (st != ST_MALFORMED)
            break;
    }
    secret_wipe(bytes, sizeof bytes);
    return st;
}

enum key_kind key_kind(const struct key *key)
{
    return key->kind;
}

const char *key_kind_name(enum key_kind kind)
{
    static const char *const names[] = {
        [KEY_SECRET] = "oct", [KEY_ED25519] = "Ed25519", [KEY_P256] = "P-256", [KEY_RSA] = "RSA"
    };
    return names[kind];
}

bool key_is_private(const struct key *key)
{
    return key->is_private;
}

static bool on_curve(const struct key *key)
{
    return key->kind == KEY_ED25519 || key->kind == KEY_P256;
}

struct span key_x(const struct key *key)
{
    return on_curve(key) ? span_of(key->x, KEY_PART_LEN) : SPAN_NONE;
}

struct span key_y(const struct key *key)
{
    return key->kind == KEY_P256 ? span_of(key->y, KEY_PART_LEN) : SPAN_NONE;
}

struct span key_d(const struct key *key)
{
    return on_curve(key) && key->is_private ? span_of(key->d, KEY_PART_LEN) : SPAN_NONE;
}

struct span key_secret(const struct key *key)
{
    return key->kind == KEY_SECRET ? span_of(key->secret, key->secret_len) : SPAN_NONE;
}

struct span key_n(const struct key *key)
{
    return key->kind == KEY_RSA ? span_of(key->secret, key->secret_len - key->exponent_len) : SPAN_NONE;
}

struct span key_e(const struct key *key)
{
    return key->kind == KEY_RSA ? span_of(key->secret + key->secret_len - key->exponent_len, key->exponent_len)
                                : SPAN_NONE;
}

enum status key_public(const struct key *key, struct key **ret_key)
{
    if (key->kind == KEY_SECRET)
        return ST_UNSUPPORTED;
    if (!key->is_private) {
        *ret_key = key_ref(key);
        return ST_OK;
    }
    return key->kind == KEY_ED25519 ? key_new_ed25519_public(key_x(key), ret_key, NULL)
                                    : key_new_p256_public(key_x(key), key_y(key), ret_key, NULL);
}

bool key_same(const struct key *a, const struct key *b)
{
    return a->kind == b->kind && secret_eq(key_x(a), key_x(b)) && secret_eq(key_y(a), key_y(b)) &&
           secret_eq(key_secret(a), key_secret(b)) && secret_eq(key_n(a), key_n(b)) &&
           secret_eq(key_e(a), key_e(b));
}
