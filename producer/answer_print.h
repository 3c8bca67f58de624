/* Prints answers on standard output: deltas as they come, and of replies the text that isn't shown yet. One thread. */
#ifndef CHAT_PRODUCER_ANSWER_PRINT_H
#define CHAT_PRODUCER_ANSWER_PRINT_H

#include <stdbool.h>
#include <stddef.h>

#include "delta_view.h"
#include "wire/reply.h"

/* Takes a record of the deltas topic, of any job. */
void answer_print_delta(struct delta_view *view, const void *value, size_t size, const char *id);
/* Prints the reply to the view's job; whole: as its JSON. Returns the exit status, and prints on stderr why it isn't 0. */
int answer_print_reply(struct delta_view *view, const void *value, size_t size, const struct reply_view *reply, bool whole);

#endif
