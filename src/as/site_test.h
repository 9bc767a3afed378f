/* as/site_test.h - for the tests of the status of tokens: an authorization server with two clients and two resource
 * servers, and what each of them asks of it. Texts returned live as long as the world. */
#ifndef SYMBOLON_AS_SITE_TEST_H
#define SYMBOLON_AS_SITE_TEST_H

#include "as/world_test.h"

/* c1 (of group "g") and c2, with secrets; "one" and "two" take references. Everybody may do d/ID/# and shared/#. */
struct site {
    struct world *w;
    const char *secrets[4]; /* c1, c2, one, two */
    int64_t rule_shared;
};
enum { C1, C2, ONE, TWO };

void site_open(struct site *s);
void site_close(struct site *s);
#define SITE(s)            \
    CLEANUP(site_close)    \
    struct site s = { 0 }; \
    site_open(&s)

/* At both resource servers; *ret_id (may be NULL) is the rule at "one". */
void site_allow(struct site *s, const char *subject, const char *filter, int64_t *ret_id);
/* The next request is authenticated as one of the four. */
void site_act_as(struct site *s, int who);
const char *site_token(struct site *s, int client, int rs);
void site_revoke(struct site *s, const char *token_text, int client);
/* The last token of `client`. */
const char *site_jti(struct site *s, int client);
/* NULL if it is not active, else its scope as text. */
const char *site_introspect(struct site *s, const char *text, int rs);

/* The revocation list as `who` sees it. */
const struct js *site_trl(struct site *s, int who, const char *query);
/* The entry of a token in it, in JSON: RFC 9770 4, RFC 6920 6. */
const char *site_hash_of(struct site *s, const char *text);
bool site_among(const struct js *array, const char *text);
int64_t site_cursor_of(const struct js *answer); /* -1: null */
bool site_more_of(const struct js *answer);
int64_t site_number(const struct js *answer, const char *name); /* 0: not there */

#endif
