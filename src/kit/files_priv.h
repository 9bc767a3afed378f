/* kit/files_priv.h - the few files of the kit: keys in, captures and what `setup` makes out. */
#ifndef SYMBOLON_KIT_FILES_PRIV_H
#define SYMBOLON_KIT_FILES_PRIV_H

#include "jose/jwk.h"

/* `ret_kid` lives in *ret_js; SPAN_NONE if the JWK has none. */
enum status read_jwk(const char *path, enum jwk_want want, struct js **ret_js, struct key **ret_key,
                     struct span *ret_kid, struct why *why) MUST_CHECK;
/* Mode 0600; an existing file is replaced or, without `replace`, an error. */
enum status write_file(const char *path, struct span content, bool replace, struct why *why) MUST_CHECK;

#endif
