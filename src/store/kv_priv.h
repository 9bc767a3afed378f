/* store/kv_priv.h - what the halves of kv share: the environment and how LMDB's answers read here. */
#ifndef SYMBOLON_STORE_KV_PRIV_H
#define SYMBOLON_STORE_KV_PRIV_H

#include "store/kv_pages_priv.h"

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

#define KV_DATA_FILE "data.mdb"
#define KV_LOCK_FILE "lock.mdb"

struct kv {
    MDB_env *env; /* NULL: the disk failed, and opening it again did not work yet */
    MDB_dbi dbi;
    char *path;
    int folder; /* holds the lock against other processes */
    int file;   /* the data file, beside LMDB's own descriptors */
    uint64_t max_bytes;
    bool read_only;
    bool shared; /* read-only, and a process may write meanwhile: LMDB's lock file is used */
    bool broken; /* LMDB's view and the disk's may differ: settle before anything is written */
    atomic_bool full;
    pthread_rwlock_t in_use; /* read: somebody walks; written: the environment is opened again */
};

/* What an errno or LMDB's own code means. */
enum status kv_failed(const struct kv *kv, int rc, struct why *why);

/* A transaction that only reads; kv_read_end() also when this fails. */
enum status kv_read_begin(struct kv *kv, MDB_txn **ret_txn, struct why *why) MUST_CHECK;
void kv_read_end(struct kv *kv, MDB_txn *txn);

/* Pages in the file that are free for use, as of `txn`. */
int kv_free_pages(MDB_txn *txn, uint64_t *ret_pages);

/* Opens the folder, and locks it: for `exclusive` against everybody (ST_EXISTS), else against writers; *ret_writer then says
 * that there is one. The caller closes the descriptor. */
enum status kv_open_folder(const char *path, bool exclusive, int *ret_folder, bool *ret_writer,
                           struct why *why) MUST_CHECK;

#endif
