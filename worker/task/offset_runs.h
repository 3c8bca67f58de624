/* A set of offsets as runs: sorted, disjoint, and apart by at least one offset. Pure. */
#ifndef CHAT_TASK_OFFSET_RUNS_H
#define CHAT_TASK_OFFSET_RUNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct offset_run {
    int64_t from;
    int64_t to; /* one behind the last */
};

/* All-zero is the empty set. */
struct offset_runs {
    struct offset_run *items; /* owned */
    size_t count, capacity;
};

/* from is at or behind the end of the last run; adjacent runs are joined. Does nothing for an empty run. */
void offset_runs_append(struct offset_runs *runs, int64_t from, int64_t to);
bool offset_runs_contain(const struct offset_runs *runs, int64_t offset);
/* How many offsets; and the end of the last run, or 0. */
int64_t offset_runs_total(const struct offset_runs *runs);
int64_t offset_runs_end(const struct offset_runs *runs);
void offset_runs_clear(struct offset_runs *runs); /* keeps the memory */
void offset_runs_finish(struct offset_runs *runs);

#endif
