/* cli/broker_folder.h - what `symbolon as rs add --broker-dir` leaves for symbolon-broker: its secret, its token key, the
 * authority of the authorization server, and settings that name them. Nothing is ever overwritten. Blocking. */
#ifndef SYMBOLON_CLI_BROKER_FOLDER_H
#define SYMBOLON_CLI_BROKER_FOLDER_H

#include "base/buf.h"
#include "codec/json.h"

struct broker_folder {
    /* Filled by the caller; the texts must outlive it. */
    const char *command;     /* for complaints: "symbolon as rs add" */
    const char *dir;         /* made (0700) if it is not there */
    const char *certificate; /* of the broker; its key lies beside it and ends in .key */
    const char *token_key;   /* file with the key shared with the server; NULL: it comes with the answer */
    const char *ca_file;     /* NULL: ca.pem beside the admin socket */
    const char *state_dir;   /* as the settings will have it; NULL: "state", in the folder */
    const char *socket;

    /* Found by broker_folder_prepare(). Paths as the settings have them: relative inside `dir`, else absolute. */
    char *certificate_path, *key_path, *token_key_path;
    struct buf ca;
    bool made;
};

/* Before anything is registered: everything needed is there and nothing is in the way. GO_ON, or the exit code after a
 * complaint. */
int broker_folder_prepare(struct broker_folder *f);

/* After it: writes the files out of the answers to `status` and `rs.add`. On failure nothing stays behind in the folder,
 * and the complaint says how to undo the registration. EXIT_DONE or the exit code. */
int broker_folder_write(const struct broker_folder *f, const struct js *status, const struct js *answer);

/* Path of the settings in it; NULL when out of memory. The caller frees it. */
char *broker_folder_settings(const struct broker_folder *f) MUST_CHECK;

/* Nothing was registered: the folder goes again, if it is ours. */
void broker_folder_abandon(const struct broker_folder *f);

void broker_folder_done(struct broker_folder *f);

#endif
