#include "cli/line_reader.h"
#include "base/defs.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

struct line_reader {
    struct symbolon_loop *loop;
    line_fn *fn;
    void *arg;
    sem_t room;
    pthread_mutex_t lock; /* of the two below */
    bool stopped;         /* no posting to a loop that is gone */
    int users;            /* the thread and the command; the last one frees */
};

struct line {
    struct line_reader *reader;
    char *text; /* NULL: the end */
    size_t len;
};

static void deliver(void *arg)
{
    struct line *line = arg;

    line->reader->fn(line->reader->arg, line->text, line->len);
    free(line->text);
    free(line);
}

static bool hand_over(struct line_reader *r, char *text, size_t len)
{
    struct line *line = malloc(sizeof *line);
    bool posted = false;

    if (line == NULL) {
        free(text);
        return false;
    }
    *line = (struct line){ r, text, len };
    pthread_mutex_lock(&r->lock);
    if (!r->stopped)
        posted = symbolon_loop_post(r->loop, deliver, line);
    pthread_mutex_unlock(&r->lock);
    if (!posted) {
        free(text);
        free(line);
    }
    return posted;
}

static void leave(struct line_reader *r)
{
    pthread_mutex_lock(&r->lock);
    bool last = --r->users == 0;
    pthread_mutex_unlock(&r->lock);
    if (!last)
        return;
    sem_destroy(&r->room);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static void read_until_end(struct line_reader *r)
{
    for (;;) {
        char *text = NULL;
        size_t cap = 0;
        while (sem_wait(&r->room) != 0)
            continue; /* EINTR */
        ssize_t len = getline(&text, &cap, stdin);
        if (len < 0) {
            free(text);
            hand_over(r, NULL, 0);
            return;
        }
        if (len > 0 && text[len - 1] == '\n')
            len--;
        if (!hand_over(r, text, (size_t)len))
            return;
    }
}

static void *read_lines(void *arg)
{
    read_until_end(arg);
    leave(arg);
    return NULL;
}

bool line_reader_start(struct symbolon_loop *loop, line_fn *fn, void *arg, struct line_reader **ret_reader)
{
    struct line_reader *r = calloc(1, sizeof *r);
    pthread_t thread;

    if (r == NULL)
        return false;
    *r = (struct line_reader){ .loop = loop, .fn = fn, .arg = arg, .users = 2 };
    pthread_mutex_init(&r->lock, NULL);
    sem_init(&r->room, 0, LINES_AHEAD);
    if (pthread_create(&thread, NULL, read_lines, r) != 0) {
        free(r);
        return false;
    }
    pthread_detach(thread);
    *ret_reader = r;
    return true;
}

void line_reader_took(struct line_reader *reader)
{
    sem_post(&reader->room);
}

void line_reader_stop(struct line_reader *reader)
{
    if (reader == NULL)
        return;
    pthread_mutex_lock(&reader->lock);
    reader->stopped = true;
    pthread_mutex_unlock(&reader->lock);
    sem_post(&reader->room); /* it may wait for room that nobody makes any more */
    leave(reader);
}
