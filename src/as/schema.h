/* as/schema.h - the tables of the authorization server. */
#ifndef SYMBOLON_AS_SCHEMA_H
#define SYMBOLON_AS_SCHEMA_H

#include "store/sql.h"

enum status as_schema(struct sql *sql, struct why *why) MUST_CHECK;
/* For tests: as the first `number` steps leave it, which is what an older program wrote. */
enum status as_schema_of_old(struct sql *sql, size_t number, struct why *why) MUST_CHECK;

#endif
