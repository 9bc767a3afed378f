/* token/claim_rules.h - how the claims of an authorization server that does not know ACE are read as ours
 * (RFC 7800 tokens of Keycloak, Hydra, or whoever wrote tokens for another broker; design 2.1, TK-1, TK-24).
 * Part of the settings of that server (`authorization_servers`), so every member is as the table left it: NULL, 0 or
 * false means "as ACE has it". What rules never loosen: the signature, iss, the times, and that `cnf` names a key the
 * holder has to prove (TK-1).
 * A claim is named as it stands in the token, or by a JSON Pointer (RFC 6901) when the name starts with "/":
 * "/ext/mqtt" is member "mqtt" of claim "ext".
 * Threads: constant once loaded; must outlive every verifier that points to it. */
#ifndef SYMBOLON_TOKEN_CLAIM_RULES_H
#define SYMBOLON_TOKEN_CLAIM_RULES_H

#include "base/config.h"
#include "codec/json.h"
#include "scope/scope.h"

/* What the scope claim holds. */
enum claim_form {
    CLAIM_FORM_AIF, /* RFC 9431 2.3, in any carriage of D-20 */
    CLAIM_FORM_ACL, /* EMQX: {"pub":[…],"sub":[…],"all":[…]}, or a list of {permission, action, topic} */
};

struct claim_rules {
    char *scope;                 /* NULL: "scope" */
    int scope_form;              /* enum claim_form */
    char *client_id;             /* NULL: "client_id"; Keycloak: "azp" */
    char *subject;               /* NULL: "sub" */
    char *username;              /* what ${username} in an ACL stands for; NULL: such an ACL is refused */
    char *cnf;                   /* NULL: "cnf" */
    struct config_strings types; /* `typ` headers taken besides JWT and at+jwt (TK-24) */
    bool audience_optional;      /* a token without `aud` is taken; one that names others never is */
};

/* The value of a claim by its name or pointer; NULL if it is not there. `where` NULL: `dflt` is looked up. */
const struct js *claim_rules_find(const struct js *claims, const char *where, const char *dflt);

/* Whether a `typ` header is one of rules->types (media type rules of RFC 7515 4.1.9). */
bool claim_rules_take_type(const struct claim_rules *rules, struct span typ);

/* The permissions of a token. ST_BAD_SCOPE: what is there cannot be understood, or not be said in our terms (MT-87); an
 * absent claim is an empty scope (MT-83). `rules` may be NULL. */
enum status claim_rules_scope(const struct claim_rules *rules, const struct js *claims,
                              struct scope **ret_scope, struct why *why) MUST_CHECK;

/* Refuses what the same server signs for other ends: a Keycloak ID or refresh token says so in the claim `typ`. */
enum status claim_rules_check_use(const struct claim_rules *rules, const struct js *claims,
                                  struct why *why) MUST_CHECK;

#endif
