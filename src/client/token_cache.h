/* client/token_cache.h - tokens that outlive the process: one file for each purpose, mode 0600, replaced whole.
 * A purpose is what a token was asked for; the file's name is a hash over it, so nothing in it has to be escaped.
 * A file that cannot be read, is not private, is malformed or holds an expired token counts as absent: the caller then
 * fetches a new token. Of an expired one with a refresh token everything is read but the token itself (access_token
 * NULL). Blocking. */
#ifndef SYMBOLON_CLIENT_TOKEN_CACHE_H
#define SYMBOLON_CLIENT_TOKEN_CACHE_H

#include "base/buf.h"
#include "base/status.h"
#include "symbolon/ace.h"

/* Any member may be NULL, which is not the same as "". */
struct token_purpose {
    const char *broker;    /* host:port */
    const char *as_url;    /* as configured, not as learned */
    const char *client_id; /* at the AS */
    const char *audience;
    const char *scope;
    const char *key; /* thumbprint */
};

/* Heap text "<dir>/<hash>.json"; NULL when out of memory. */
char *token_cache_path(const char *dir, const struct token_purpose *purpose) MUST_CHECK;

enum status token_cache_load(const char *path, int64_t now_s, struct symbolon_token *ret_token,
                             struct why *why) MUST_CHECK;
/* Makes the folder if it is missing. */
enum status token_cache_store(const char *dir, const char *path, const struct token_purpose *purpose,
                              const struct symbolon_token *token, struct why *why) MUST_CHECK;
void token_cache_drop(const char *path);

/* The file's text, for those above and their tests. */
enum status token_cache_parse(struct span text, int64_t now_s, struct symbolon_token *ret_token,
                              struct why *why) MUST_CHECK;
enum status token_cache_print(const struct token_purpose *purpose, const struct symbolon_token *token,
                              struct buf *out) MUST_CHECK;

#endif
