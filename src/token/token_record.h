/* token/token_record.h - a verified token as bytes for this program's own files, so that it need not be verified again
 * after a restart, when neither the keys of its issuer nor an answer of its AS may be at hand. Not a format for others:
 * a version byte in front, and a reader takes its own version only. It holds a secret in the clear where the token's
 * key is one: the file must be as private as a key file, the buffers wiped. */
#ifndef SYMBOLON_TOKEN_TOKEN_RECORD_H
#define SYMBOLON_TOKEN_TOKEN_RECORD_H

#include "token/token.h"

#define TOKEN_RECORD_MAX 262144

/* Appends. ST_TOO_LARGE, ST_NO_MEMORY. */
enum status token_record_write(const struct token *token, struct buf *out) MUST_CHECK;
/* ST_MALFORMED, ST_BAD_VERSION, ST_NO_MEMORY. */
enum status token_record_read(struct span record, struct token **ret_token, struct why *why) MUST_CHECK;

#endif
