/* A progress bar on stderr, if that is a terminal. One thread. */
#ifndef CHAT_PRODUCER_PROGRESS_H
#define CHAT_PRODUCER_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *label;
    int64_t total; /* 0: unknown, only a count is shown */
    int64_t started_ms;
    int64_t drawn_ms;
    bool shown;
};

/* wanted = false keeps it silent (standard output is the same terminal, say). */
struct progress progress_start(const char *label, int64_t total, bool wanted);
/* done of total; count is the number shown ("4711 records"). Draws at most ten times a second. */
void progress_update(struct progress *progress, int64_t done, int64_t count);
/* Clears the line, so that other output starts at its left; the next update draws it again. */
void progress_end(struct progress *progress);

#endif
