#include "llm/text_buffer.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

void text_buffer_append(struct text_buffer *buffer, const char *bytes, size_t size)
{
    buffer->bytes = xgrow(buffer->bytes, &buffer->capacity, buffer->size + size + 1, 1);
    if (size > 0)
        memcpy(buffer->bytes + buffer->size, bytes, size);
    buffer->size += size;
    buffer->bytes[buffer->size] = '\0';
}

void text_buffer_clear(struct text_buffer *buffer)
{
    buffer->size = 0;
    if (buffer->bytes != NULL)
        buffer->bytes[0] = '\0';
}

void text_buffer_finish(struct text_buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (struct text_buffer){0};
}
