/* Shows an answer as it comes: the deltas of one job (wire/delta.h), in order, each once, of its latest stream only. Missing
 * text is printed when the reply comes. Pure: the caller prints. */
#ifndef CHAT_PRODUCER_DELTA_VIEW_H
#define CHAT_PRODUCER_DELTA_VIEW_H

#include <stdbool.h>
#include <stddef.h>

#include "wire/delta.h"

struct delta_view {
    char *shown; /* owned; the text shown so far of the present stream; NULL: none */
    size_t size;
    struct delta last; /* its numbers only */
    bool any;          /* a delta was taken */
    bool broken;       /* a delta is missing: no more of this stream is shown */
};

void delta_view_finish(struct delta_view *view); /* all zero is fine */

/* Takes the next delta of the job. *ret_text, *ret_size: the text to print, borrowed; 0: none. True: the text shown
 * before is void (another stream begins), so that a new line must be printed first. */
bool delta_view_take(struct delta_view *view, const struct delta *delta, const char **ret_text, size_t *ret_size);

/* The reply's content has come: *ret_rest is the part not shown yet. True: the shown text isn't its beginning. */
bool delta_view_rest(const struct delta_view *view, const char *content, const char **ret_rest);

#endif
