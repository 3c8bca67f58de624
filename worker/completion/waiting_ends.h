/* The ends that wait for the completion thread, first come first served, and the rule of when they have waited for company long enough.
 * No thread, no lock, no clock: completion.c guards it. Zero is empty.
 *
 * A batch is full at ENDS_MAX ends or ENDS_BYTES of replies and turns, whichever comes first: large ends fill one long before they are many. */
#ifndef CHAT_COMPLETION_WAITING_ENDS_H
#define CHAT_COMPLETION_WAITING_ENDS_H

#include <stdbool.h>
#include <stddef.h>

#include "task/task_list.h"

#define ENDS_MAX 256
#define ENDS_BYTES (2 * 1024 * 1024) /* by end_bytes: the command to Redis contains them; the end that reaches it still goes with those before it */

struct waiting_ends {
    struct task_list list;
    size_t bytes;
    bool urgent;    /* one whose lane waits for it came since the list was last empty */
    bool left_over; /* the last batch was full: the first of these has waited already */
};

/* Appends. True: with this one, waiting_ends_are_due has become true. */
bool waiting_ends_put(struct waiting_ends *ends, struct task *task, bool urgent);
/* There is no gain, or no right, in waiting for more: the next batch is full, is urgent, or holds one that a full batch left. */
bool waiting_ends_are_due(const struct waiting_ends *ends);
/* Moves the first ones to batch, which has n of bytes, until it is full. Returns how many it has then. */
size_t waiting_ends_take(struct waiting_ends *ends, struct task **batch, size_t n, size_t bytes);

#endif
