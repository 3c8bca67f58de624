/* A growing buffer of bytes, for text that is streamed in pieces. May contain NULs, and ends with one.
 * All zero is empty and ready. It has no limit of its own: the caller checks. Pure; one thread at a time. */
#ifndef CHAT_LLM_TEXT_BUFFER_H
#define CHAT_LLM_TEXT_BUFFER_H

#include <stddef.h>

struct text_buffer {
    char *bytes; /* owned; NULL until something is appended */
    size_t size; /* without the NUL */
    size_t capacity;
};

void text_buffer_append(struct text_buffer *buffer, const char *bytes, size_t size);
/* Empties it, and keeps its memory. */
void text_buffer_clear(struct text_buffer *buffer);
void text_buffer_finish(struct text_buffer *buffer);

/* Never NULL. */
static inline const char *text_buffer_text(const struct text_buffer *buffer)
{
    return buffer->bytes != NULL ? buffer->bytes : "";
}

#endif
