/* as/grant.h - one token on its way out: who gets it, where it is for, what it says. issuance.c fills it step by step as
 * the request is judged; token_make.c makes the token and keeps its row. */
#ifndef SYMBOLON_AS_GRANT_H
#define SYMBOLON_AS_GRANT_H

#include "as/client_auth.h"
#include "as/refresh.h"
#include "as/req_cnf.h"
#include "scope/scope.h"

/* How the scope came is how it goes back (D-20). */
enum carriage { CARRIED_BASE64URL, CARRIED_ARRAY, CARRIED_TEXT };

struct grant {
    struct auth auth;
    struct resource_server rs;
    unsigned profile; /* its number: ace_profile_name() */
    struct scope *scope;
    enum carriage carriage;
    struct pop pop;
    struct span cnonce; /* as sent, base64url */
    struct buf cnonce_bytes;
    bool refreshing;        /* grant_type refresh_token: `refresh` was presented */
    struct refresh refresh; /* with .family set: the family this token belongs to */
    struct scope *ceiling;  /* what the family was granted; NULL at the first token */

    struct buf jti;           /* text */
    struct buf token;         /* as a resource server is shown it: a CWT is bytes */
    struct buf refresh_token; /* text; empty: none */
};

/* Makes the token and keeps what is to be remembered of it, in one transaction: a token that was answered is a row that
 * was committed. */
enum status grant_issue(struct call *call, struct grant *g) MUST_CHECK;
void grant_done(struct grant *g);

#endif
