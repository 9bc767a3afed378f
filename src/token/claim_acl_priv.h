/* token/claim_acl_priv.h - the ACL that EMQX puts into tokens, as a scope.
 * Two forms: lists of topics under "pub", "sub" and "all"; and rules {permission, action, topic}, of which the first that
 * matches decides. A scope has neither order nor denials, nor does it ask for QoS or the retain flag. What would give
 * the holder more than the ACL does is refused, never rounded up: a denial before a permission it takes something from, and
 * a permission for some QoS or some retain flag only. Denials that nothing behind them is taken from say what a scope
 * says anyway, and go without a trace.
 * ${clientid} and ${username} stand for what the token itself says about its holder (struct claim_rules), not for the
 * Client Identifier and user name of the connection, which are anybody's to claim (MT-60). Other placeholders are
 * refused. */
#ifndef SYMBOLON_TOKEN_CLAIM_ACL_PRIV_H
#define SYMBOLON_TOKEN_CLAIM_ACL_PRIV_H

#include "token/claim_rules.h"

/* `acl` is the value of the claim, `claims` the whole set. */
enum status claim_acl_scope(const struct claim_rules *rules, const struct js *claims, const struct js *acl,
                            struct scope **ret_scope, struct why *why) MUST_CHECK;

#endif
