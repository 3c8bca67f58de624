/* A file with one line of JSON for each chat request, and each to a context source, written when it has ended: what a test counts calls with
 * after the fact, also over restarts of who called. One thread: the event loop's. A line goes out with one
 * write(2), and blocks as long as that does. */
#ifndef LLMSIM_JOURNAL_H
#define LLMSIM_JOURNAL_H

#include <stdint.h>

#include "answer.h"
#include "base/error.h"
#include "context.h"
#include "plan.h"

struct journal;

/* One request while it is answered; all zero: none. */
struct journal_line {
    uint64_t number;
    char *message, *user; /* owned; user: the request's `user`, or NULL */
    char *context, *session; /* owned; only of a request to a context source: its name, and its session or NULL */
    int status;           /* of the answer being played */
    int64_t start_ms;     /* Unix time */
};

/* FAILED: the file can't be opened. */
enum status journal_open(const char *file, struct journal **ret, struct error *err) MUST_CHECK;
void journal_close(struct journal *journal); /* NULL is fine */

void journal_line_start(struct journal_line *line, const struct ask *ask, uint64_t number, const struct script *script,
                        int64_t now_ms);
void journal_line_start_context(struct journal_line *line, const struct context_ask *ask, int64_t now_ms);
/* Writes and clears the line. Does nothing if journal is NULL. A line that can't be written ends the process: a test that
 * counts must not count too little. */
void journal_write(struct journal *journal, struct journal_line *line, const char *end, int64_t now_ms);
void journal_line_finish(struct journal_line *line);

#endif
