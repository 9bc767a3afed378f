/* cli/admin.h - one question to the admin socket of symbolon-as (docs/as-admin-protocol.md), or to the control socket of
 * symbolon-broker, which speaks the same way. Blocking. */
#ifndef SYMBOLON_CLI_ADMIN_H
#define SYMBOLON_CLI_ADMIN_H

#include "base/status.h"
#include "codec/json.h"

#define ADMIN_SOCKET_DEFAULT  "/run/symbolon-as/admin.sock"
#define BROKER_SOCKET_DEFAULT "/run/symbolon-broker/control.sock"

/* `credential`: to log in with first; empty: none. `*ret_answer` is the whole answer, "ok" true or false, be it only the
 * one to the login. ST_UNREACHABLE, ST_DENIED (not our socket), ST_TIMEOUT, ST_MALFORMED. */
enum status admin_ask(const char *socket_path, struct span credential, const struct js *question,
                      struct js **ret_answer, struct why *why) MUST_CHECK;

#endif
