/* cli/store.h - `symbolon broker store`: looking into the store of a broker, running or not. Never writes. */
#ifndef SYMBOLON_CLI_STORE_H
#define SYMBOLON_CLI_STORE_H

#include "cli/command.h"
#include "cli/store_survey.h"

#include <stdio.h>

#define STORE_COMMAND     "symbolon broker store"
#define STORE_DIR_DEFAULT "/var/lib/symbolon-broker" /* state_dir of deploy/symbolon-broker.yaml */

int run_broker_store(int argc, char **argv);

struct store_export_options {
    bool payload;
    FILE *out;
};
/* One JSON object a line: sessions, Wills, subscriptions, what waits for them and for groups, retained messages. No token, no
 * hash of one, no key. What cannot be read is left out and counted. */
enum status store_export(const struct store_source *from, const struct store_survey *survey,
                         const struct store_export_options *options, uint64_t *ret_left_out,
                         struct why *why) MUST_CHECK;

#endif
