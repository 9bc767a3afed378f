#include "mint.h"

#include "program.h"
#include "token/claims.h"

#include <stdio.h>

#define TOKEN_MAX 8192

static void read_key(const char *file, struct key **ret)
{
    char pem[KEY_PEM_MAX];
    FILE *f = file == NULL ? NULL : fopen(file, "r");

    if (f == NULL)
        die("--key: no key of an issuer to sign tokens with");
    size_t len = fread(pem, 1, sizeof pem, f);
    fclose(f);
    if (key_read_pem(span_of(pem, len), ret, NULL) != ST_OK)
        die("%s: not a private key", file);
}

struct span mint_token(struct mint *mint, const struct key *cnf, size_t client, int64_t exp_s)
{
    struct buf text;
    char jti[32], sub[32];

    buf_init(&text, TOKEN_MAX);
    snprintf(jti, sizeof jti, "t%llu", (unsigned long long)mint->serial++);
    snprintf(sub, sizeof sub, "client-%zu", client);
    struct token_claims claims = { .iss = span_of_str(mint->issuer),
                                   .sub = span_of_str(sub),
                                   .aud = span_of_str(mint->audience),
                                   .jti = span_of_str(jti),
                                   .has_exp = true,
                                   .exp = { exp_s },
                                   .scope = mint->scope,
                                   .cnf = cnf };
    if (token_issue_jws(&claims, mint->key, SPAN_NONE, &text, NULL) != ST_OK)
        die("no token could be made");
    return buf_span(&text); /* the buffer's block is ours now */
}

void mint_init(struct mint *mint, const char *key_file, const char *issuer, const char *audience,
               const char *scope)
{
    struct why why = { 0 };

    *mint = (struct mint){ .issuer = issuer, .audience = audience };
    read_key(key_file, &mint->key);
    if (scope_from_text(span_of_str(scope), &mint->scope, &why) != ST_OK)
        die("scope: %s", why.text);
}

void mint_done(struct mint *mint)
{
    key_unref(mint->key);
    scope_unref(mint->scope);
}
