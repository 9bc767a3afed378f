/* cli/line_reader.h - standard input line by line beside a running loop: a thread reads, the loop's thread gets them.
 * At most LINES_AHEAD lines are under way; line_reader_took() makes room for the next. epoll cannot watch files, and a
 * blocking read would stop the keep alive, hence the thread. */
#ifndef SYMBOLON_CLI_LINE_READER_H
#define SYMBOLON_CLI_LINE_READER_H

#include "symbolon/client.h"

#define LINES_AHEAD 64

struct line_reader;

/* `line` has no newline and is NULL at the end of the input. */
typedef void line_fn(void *arg, const char *line, size_t len);

/* False when no thread can be had. */
bool line_reader_start(struct symbolon_loop *loop, line_fn *fn, void *arg, struct line_reader **ret_reader);
void line_reader_took(struct line_reader *reader);
/* No more calls of fn, and the reader is gone for the caller: before the loop is freed. The thread may sit in read()
 * until the process ends. NULL does nothing. */
void line_reader_stop(struct line_reader *reader);

#endif
