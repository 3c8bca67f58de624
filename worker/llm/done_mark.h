/* `[DONE]`, which ends a stream, and what servers leave behind an answer. Pure; any thread. */
#ifndef CHAT_LLM_DONE_MARK_H
#define CHAT_LLM_DONE_MARK_H

#include <stdbool.h>
#include <stddef.h>

/* Is that an event's data which ends the stream: [DONE], however it is written, with anything behind it? */
bool done_mark_is(const char *data, size_t size);
/* How many bytes at text are white space, NULs, or marks of an end as a body has them (`[DONE]`, `data: [DONE]`).
 * *ret_done: a mark was among them. */
size_t done_mark_skip(const char *text, size_t size, bool *ret_done);

#endif
