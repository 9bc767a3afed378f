/* load/template.h - names of many clients from one pattern: %i the client's number, %c its client identifier, %% a
 * percent sign. Pure. */
#ifndef SYMBOLON_LOAD_TEMPLATE_H
#define SYMBOLON_LOAD_TEMPLATE_H

#include "base/buf.h"

/* True if only %i, %c and %% follow percent signs; `client_id` false: %c is not known there. */
bool template_valid(const char *pattern, bool client_id);
/* Appends the name; `client_id` NULL where template_valid() was asked without. */
void template_expand(const char *pattern, size_t number, const char *client_id, struct buf *out);

#endif
