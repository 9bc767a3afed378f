#include "client/error_priv.h"
#include "client/key_priv.h"
#include "client/private_file.h"
#include "codec/json.h"
#include "jose/jwk.h"

#include <stdlib.h>

#define SECRET_MIN 32 /* RFC 7518 3.2: as long as the hash */

/* clang-format off */
static const struct { enum symbolon_key_type type; enum key_kind kind; } kinds[] = {
    { SYMBOLON_KEY_ED25519, KEY_ED25519 },
    { SYMBOLON_KEY_P256,    KEY_P256    },
    { SYMBOLON_KEY_SECRET,  KEY_SECRET  },
};
/* clang-format on */

static enum symbolon_status hand_out(enum status st, const struct why *why, struct key *key,
                                     struct symbolon_key **ret_key, struct symbolon_error *error)
{
    if (st != ST_OK)
        return error_from(error, st, why);
    *ret_key = key_outside(key);
    return SYMBOLON_OK;
}

enum symbolon_status symbolon_key_generate(enum symbolon_key_type type, struct symbolon_key **ret_key,
                                           struct symbolon_error *error)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (kinds[i].type != type)
            continue;
        struct key *key = NULL;
        enum status st = key_generate(kinds[i].kind, &key);
        return hand_out(st, &(struct why){ .clause = "key_generate" }, key, ret_key, error);
    }
    return error_set(error, SYMBOLON_INVALID, "enum symbolon_key_type", "no such type of key");
}

enum symbolon_status symbolon_key_from_secret(struct symbolon_bytes secret, struct symbolon_key **ret_key,
                                              struct symbolon_error *error)
{
    struct key *key = NULL;
    struct why why = { 0 };

    if (secret.len < SECRET_MIN)
        return error_set(error, SYMBOLON_INVALID, "RFC 7518 3.2", "a secret needs at least 32 bytes");
    enum status st = key_new_secret(span_of_bytes(secret), &key, &why);
    return hand_out(st, &why, key, ret_key, error);
}

static enum status read_private_pem(struct span pem, struct key **ret_key, struct why *why)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    enum status st = key_read_pem(pem, &key, why);

    if (st != ST_OK)
        return st;
    if (!key_is_private(key))
        return reject(why, ST_BAD_POP_KEY, "RFC 5958", "only a public key: the private one is needed", 0);
    *ret_key = TAKE(key);
    return ST_OK;
}

enum symbolon_status symbolon_key_from_pem(struct symbolon_bytes pem, struct symbolon_key **ret_key,
                                           struct symbolon_error *error)
{
    struct key *key = NULL;
    struct why why = { 0 };
    enum status st = read_private_pem(span_of_bytes(pem), &key, &why);

    return hand_out(st, &why, key, ret_key, error);
}

enum symbolon_status symbolon_key_load(const char *path, struct symbolon_key **ret_key,
                                       struct symbolon_error *error)
{
    CLEANUP(buf_wipe)
    struct buf pem = { .max = KEY_PEM_MAX };
    struct key *key = NULL;
    struct why why = { 0 };

    enum status st = private_file_read(path, &pem, &why);
    if (st == ST_OK)
        st = read_private_pem(buf_span(&pem), &key, &why);
    if (st != ST_OK)
        return error_about(error, st, &why, path);
    *ret_key = key_outside(key);
    return SYMBOLON_OK;
}

enum symbolon_status symbolon_key_save(const struct symbolon_key *key, const char *path,
                                       struct symbolon_error *error)
{
    CLEANUP(buf_wipe)
    struct buf pem = { .max = KEY_PEM_MAX };
    struct why why = { .clause = "key_write_pem" };

    enum status st = key_write_pem(key_inside(key), true, &pem);
    if (st == ST_OK)
        st = private_file_create(path, buf_span(&pem), &why);
    return st == ST_OK ? SYMBOLON_OK : error_about(error, st, &why, path);
}

struct symbolon_key *symbolon_key_ref(struct symbolon_key *key)
{
    return key == NULL ? NULL : key_outside(key_ref(key_inside(key)));
}

void symbolon_key_unref(struct symbolon_key *key)
{
    key_unref((struct key *)(void *)key);
}

enum symbolon_key_type symbolon_key_type(const struct symbolon_key *key)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (kinds[i].kind == key_kind(key_inside(key)))
            return kinds[i].type;
    ASSERT(false); /* every kind of key is in the table */
    return SYMBOLON_KEY_SECRET;
}

_Static_assert(SYMBOLON_THUMBPRINT_TEXT == JWK_THUMBPRINT_TEXT, "the public header repeats it");

enum symbolon_status symbolon_key_thumbprint(const struct symbolon_key *key,
                                             char ret_text[SYMBOLON_THUMBPRINT_TEXT],
                                             struct symbolon_error *error)
{
    enum status st = jwk_thumbprint_text(key_inside(key), ret_text);

    return st == ST_OK ? SYMBOLON_OK : error_from(error, st, &(struct why){ .clause = "RFC 7638" });
}

enum symbolon_status symbolon_key_public_jwk(const struct symbolon_key *key, char **ret_json,
                                             struct symbolon_error *error)
{
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    CLEANUP(buf_done)
    struct buf text = { .max = 4096 };
    char kid[JWK_THUMBPRINT_TEXT];
    size_t len;

    if (key_kind(key_inside(key)) == KEY_SECRET)
        return error_set(error, SYMBOLON_UNSUPPORTED, "RFC 7518 6.4", "a secret has no public part");
    enum status st = jwk_thumbprint_text(key_inside(key), kid);
    if (st == ST_OK)
        st = jwk_print(key_inside(key), span_of_str(kid), NULL, false, &js);
    if (st == ST_OK)
        st = js_print(js, &text);
    if (st != ST_OK)
        return error_from(error, st, &(struct why){ .clause = "RFC 7517" });
    char *json = (char *)buf_take(&text, &len);
    if (json == NULL)
        return error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory");
    *ret_json = json;
    return SYMBOLON_OK;
}

void symbolon_free(char *text)
{
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    free(text);
}
