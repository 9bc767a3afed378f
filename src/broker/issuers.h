/* broker/issuers.h - the authorization servers of the settings as a verifier: their names, ours, the keys in files, and
 * which of their keys count.
 * Failure: a status and why; a file that cannot be used is logged too.
 * Threads: no state. */
#ifndef SYMBOLON_BROKER_ISSUERS_H
#define SYMBOLON_BROKER_ISSUERS_H

#include "broker/settings_file.h"
#include "jose/jwks.h"

struct verifier;

/* What the settings alone give: audiences, issuers, keys from files, none fetched yet. NULL in *ret_verifier when no
 * authorization server is configured; else one reference. Reads files. */
enum status issuers_verifier(const struct broker_config *config, struct verifier **ret_verifier,
                             struct why *why) MUST_CHECK;

/* The keys of a set that jwks_pins lets count; ST_DENIED when none does. Takes the set. */
enum status issuers_take_pinned(const struct as_config *as, struct jwks *all_take, struct jwks **ret,
                                struct why *why) MUST_CHECK;

void issuers_bad_file(const char *path, enum status st, const struct why *why);

#endif
