/* broker/control.h - the unix socket by which this broker is looked at and told things while it runs: docs/operate/hostile.md
 * names the commands, `symbolon broker` is their front. A line in, a line out, as on the AS's admin socket
 * (docs/as-admin-protocol.md). For root and the user we run as. */
#ifndef SYMBOLON_BROKER_CONTROL_H
#define SYMBOLON_BROKER_CONTROL_H

#include "broker/settings_file.h"
#include "broker/source.h"
#include "broker/worker.h"
#include "net/loop.h"

#define CONTROL_LINE_MAX   65536
#define CONTROL_ANSWER_MAX (4u * 1024 * 1024)

struct control;

struct control_settings {
    const char *path;             /* NULL: no socket; ends of bans are told all the same */
    struct worker_common *common; /* the workers that are asked */
    struct sources *sources;      /* may be NULL */
};

/* `loop` is the control loop's; `settings` is read here, what it points to outlives the control. */
enum status control_new(struct loop *loop, const struct control_settings *settings,
                        struct control **ret_control, struct why *why) MUST_CHECK;
/* The same by the settings of the broker: the socket they name, else control.sock in `state_dir`, else none. */
enum status control_from_config(struct loop *loop, const struct broker_config *config,
                                struct worker_common *common, struct control **ret_control,
                                struct why *why) MUST_CHECK;
/* Before the workers go. NULL is fine. */
void control_free(struct control *control);

#endif
