/* Answers on standard output: deltas as they come, and replies with what of them isn't shown yet. One thread. */
#ifndef CHAT_PRODUCER_ANSWER_PRINT_H
#define CHAT_PRODUCER_ANSWER_PRINT_H

#include <stdbool.h>
#include <stddef.h>

#include "delta_view.h"
#include "wire/reply.h"

/* A record of the deltas topic, whichever job's it is. */
void answer_print_delta(struct delta_view *view, const void *value, size_t size, const char *id);
/* The reply to the job of that view; whole: as the JSON that it is. Returns the exit status, and says on stderr why it isn't 0. */
int answer_print_reply(struct delta_view *view, const void *value, size_t size, const struct reply_view *reply, bool whole);

#endif
