#include "load/login.h"

#include "crypto/secret.h"
#include "token/ace_cbor.h"

#include <stdio.h>
#include <stdlib.h>

enum status login_add(struct login *login, struct span token, const struct key *key)
{
    size_t n = login->count;

    if ((n & (n - 1)) == 0) { /* full: 0, 1, 2, 4, ... */
        struct identity *more = reallocarray(login->identities, n == 0 ? 1 : 2 * n, sizeof *more);
        if (more == NULL)
            return ST_NO_MEMORY;
        login->identities = more;
    }
    uint8_t *copy = malloc(token.len + 1);
    if (copy == NULL)
        return ST_NO_MEMORY;
    memcpy(copy, token.p, token.len);
    login->identities[login->count++] = (struct identity){ span_of(copy, token.len), key_ref(key) };
    return ST_OK;
}

static bool read_hex(struct span hex, struct buf *out)
{
    for (size_t i = 0; i + 1 < hex.len; i += 2) {
        unsigned v = 0;
        for (size_t k = 0; k < 2; k++) {
            uint8_t c = hex.p[i + k];
            if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
                return false;
            v = v << 4 | (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
        }
        put_u8(out, (uint8_t)v);
    }
    return hex.len % 2 == 0 && buf_ok(out);
}

static enum status read_line(struct login *login, struct span line, struct why *why)
{
    CLEANUP(buf_wipe)
    struct buf secret;
    CLEANUP(buf_done)
    struct buf token;
    struct key *key = NULL;
    size_t first = span_find(line, ' ', 0), second = span_find(line, ' ', first + 1);
    enum status st = ST_UNSUPPORTED;

    buf_init(&secret, KEY_SECRET_MAX);
    buf_init(&token, line.len);
    if (second == line.len || first == 0)
        return reject(why, ST_MALFORMED, "tokens", "a line is not token, kind and key", 0);
    struct span kind = span_cut(line, first + 1, second - first - 1);
    if (!read_hex(span_cut(line, second + 1, line.len), &secret))
        return reject(why, ST_MALFORMED, "tokens", "a key that is not hexadecimal", 0);
    if (span_eq_str(kind, "oct"))
        st = key_new_secret(buf_span(&secret), &key, NULL);
    else if (span_eq_str(kind, "Ed25519"))
        st = key_new_ed25519_private(buf_span(&secret), &key, NULL);
    else if (span_eq_str(kind, "P-256"))
        st = key_new_p256_private(buf_span(&secret), &key, NULL);
    if (st != ST_OK)
        return reject(why, st, "tokens", "a key of an unknown kind or of a wrong length", 0);
    st = ace_token_bytes(span_cut(line, 0, first), &token);
    if (st == ST_OK)
        st = login_add(login, buf_span(&token), key);
    key_unref(key);
    return st == ST_OK ? ST_OK : reject(why, st, "tokens", "out of memory", 0);
}

enum status login_read_tokens(struct login *login, const char *file, struct why *why)
{
    FILE *f = fopen(file, "r");
    char *line = NULL;
    size_t cap = 0, before = login->count;
    ssize_t len;
    enum status st = ST_OK;

    if (f == NULL)
        return reject(why, ST_NOT_FOUND, "tokens", "the file cannot be opened", 0);
    while (st == ST_OK && (len = getline(&line, &cap, f)) > 0) {
        struct span text = span_of(line, (size_t)len);
        if (text.p[text.len - 1] == '\n')
            text.len--;
        if (text.len > 0)
            st = read_line(login, text, why);
    }
    if (line != NULL)
        secret_wipe(line, cap);
    free(line);
    (void)fclose(f);
    if (st == ST_OK && login->count == before)
        return reject(why, ST_NOT_FOUND, "tokens", "there is no token in the file", 0);
    return st;
}

void login_done(struct login *login)
{
    for (size_t i = 0; i < login->count; i++) {
        free((void *)(uintptr_t)login->identities[i].token.p);
        key_unref(login->identities[i].key);
    }
    free(login->identities);
    *login = (struct login){ 0 };
}
