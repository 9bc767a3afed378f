/* net/daemon.h - the outside of a program that serves until it is told to stop: its command line, its settings, and the
 * file that tells others which ports it got. What it serves is its own affair. */
#ifndef SYMBOLON_NET_DAEMON_H
#define SYMBOLON_NET_DAEMON_H

#include "base/config.h"

#include <pthread.h>

/* One option that only this daemon has. `take` says itself, on standard error, why a value will not do. */
struct daemon_option {
    const char *name;
    bool (*take)(void *ctx, const char *value);
};

struct daemon {
    const struct config_table *table; /* of its settings; names the program too */
    const char *version, *help;
    struct daemon_option own; /* name NULL: none */
};

/* Reads the command line, and the settings it names into `settings`: config_done() them. `ctx` is the own option's;
 * *ret_ports_file is NULL where none is wanted. False when it is time to leave with *ret_exit: all has been said.
 * Afterwards new files are ours alone, a peer that went away is no signal, and no crash writes keys to disk. */
bool daemon_begin(const struct daemon *daemon, int argc, char **argv, void *ctx, void *settings,
                  const char **ret_ports_file, int *ret_exit);

/* No core file, which would hold every key, and no other process of our user reads our memory (ptrace, /proc/PID/mem).
 * daemon_begin() does it; again after a change of user, which takes the second back. */
void daemon_keep_memory_secret(void);

/* NAME=PORT lines, whole or not at all: who waits for the file to appear must not read half of it. */
enum status daemon_write_ports(const char *path, struct span lines, struct why *why) MUST_CHECK;

/* A thread of its own, which gets no signals: they are the main thread's. `clause` names it in *why. */
enum status daemon_thread(pthread_t *ret_thread, void *(*run)(void *arg), void *arg, const char *clause,
                          struct why *why) MUST_CHECK;

#endif
