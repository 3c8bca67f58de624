/* Shows an answer as it comes: the deltas of one job (wire/delta.h), in order, each once, of its latest stream alone. What
 * was missed is made good when the reply comes. Pure but for the printing, which the caller does. */
#ifndef CHAT_PRODUCER_DELTA_VIEW_H
#define CHAT_PRODUCER_DELTA_VIEW_H

#include <stdbool.h>
#include <stddef.h>

#include "wire/delta.h"

struct delta_view {
    char *shown; /* owned; what stands on the screen, as its stream had it; NULL: nothing */
    size_t size;
    struct delta last; /* its numbers only */
    bool any;          /* a delta was seen */
    bool broken;       /* a delta is missing: no more of this stream is shown */
};

void delta_view_finish(struct delta_view *view); /* all zero is fine */

/* Takes the next delta of the job. *ret_text, *ret_size: what to print of it, lent; 0: nothing. True: what stood there
 * before is void (another stream begins), so that a new line is due first. */
bool delta_view_take(struct delta_view *view, const struct delta *delta, const char **ret_text, size_t *ret_size);

/* The reply's content has come: what of it isn't shown yet. True: what is shown isn't its beginning. */
bool delta_view_rest(const struct delta_view *view, const char *content, const char **ret_rest);

#endif
