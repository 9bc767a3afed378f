/* as/backup.h - a backup of an authorization server: one file (0600) that a working server can be made of again, on this
 * machine or another. It is the database as it was at one moment, and in two tables more what lies beside it:
 *   backup        when, and by which version
 *   backup_file   the keys tokens are signed with, pop.key, and as far as they are in the folder as.yaml, ca.pem, ca.key,
 *                 server.pem, server.key, admin.credential
 * So it is worth as much to a thief as the server itself. */
#ifndef SYMBOLON_AS_BACKUP_H
#define SYMBOLON_AS_BACKUP_H

#include "base/clock.h"
#include "base/status.h"
#include "store/sql.h"

#define BACKUP_PATH_BYTES 4096
#define BACKUP_FILE_MAX   65536 /* bytes of one of the files */

/* What lies beside the database, but for the signing keys, which the database names. */
struct backup_part {
    const char *name;
    unsigned mode;
    bool needed;
};
extern const struct backup_part backup_parts[];
extern const size_t backup_parts_count;

/* "`dir`/`name``end`" */
enum status backup_path(const char *dir, const char *name, const char *end, char out[BACKUP_PATH_BYTES],
                        struct why *why) MUST_CHECK;
/* A name made, changed or removed in the folder of `path` is on disk. */
enum status backup_sync_folder(const char *path, struct why *why) MUST_CHECK;
/* On a terminal: how far it is. */
void backup_progress(void *ctx, int64_t pages, int64_t of);

/* `symbolon-as backup DIR FILE`, also beside a running server. argv[0] is "backup". Returns the exit status. */
int as_backup(int argc, char **argv);
/* `symbolon-as restore [--force] FILE DIR`, where no server runs. */
int as_restore(int argc, char **argv);

#endif
