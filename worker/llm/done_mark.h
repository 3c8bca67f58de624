/* `[DONE]`, which ends a stream, and other bytes that servers append to an answer. Pure; any thread. */
#ifndef CHAT_LLM_DONE_MARK_H
#define CHAT_LLM_DONE_MARK_H

#include <stdbool.h>
#include <stddef.h>

/* Does this event data end the stream: [DONE], in any spelling, with anything behind it? */
bool done_mark_is(const char *data, size_t size);
/* How many bytes at text are white space, NULs, or end marks (`[DONE]`, `data: [DONE]`).
 * *ret_done: there was an end mark. */
size_t done_mark_skip(const char *text, size_t size, bool *ret_done);

#endif
