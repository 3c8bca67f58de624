#include "llm/answer_shape.h"

#include <string.h>

#include "base/byte_order_mark.h"

#define LOOKED_AT_MAX 64 /* how far to look for the first significant byte */

/* Does the text begin with name and a colon, or may more bytes make it so? */
static enum http_shape look_for_field(const char *name, const char *text, size_t size)
{
    size_t length = strlen(name);
    size_t common = size < length ? size : length;
    if (memcmp(text, name, common) != 0)
        return HTTP_SHAPE_WHOLE;
    if (size <= length)
        return HTTP_SHAPE_OPEN;
    return text[length] == ':' || text[length] == '\n' || text[length] == '\r' ? HTTP_SHAPE_STREAM : HTTP_SHAPE_WHOLE;
}

static enum http_shape look_for_fields(const char *text, size_t size)
{
    static const char *const fields[] = {"data", "event", "id", "retry", "error"};
    enum http_shape shape = HTTP_SHAPE_WHOLE;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        enum http_shape looks = look_for_field(fields[i], text, size);
        if (looks == HTTP_SHAPE_STREAM)
            return HTTP_SHAPE_STREAM;
        if (looks == HTTP_SHAPE_OPEN)
            shape = HTTP_SHAPE_OPEN;
    }
    return shape;
}

enum http_shape answer_shape_look(bool typed, const char *bytes, size_t size)
{
    size_t at = 0, mark = 0;
    if (size < 3 && memcmp(bytes, "\xef\xbb\xbf", size) == 0)
        return HTTP_SHAPE_OPEN;
    do {
        while (at < size && (strchr(" \t\r\n", bytes[at]) != NULL)) /* strchr finds NULs, too */
            at++;
        mark = byte_order_mark_size(bytes + at, size - at);
        at += mark;
    } while (mark > 0);
    if (at == size)
        return size < LOOKED_AT_MAX ? HTTP_SHAPE_OPEN : typed ? HTTP_SHAPE_STREAM : HTTP_SHAPE_WHOLE;
    if (bytes[at] == '{' || bytes[at] == '[')
        return HTTP_SHAPE_WHOLE;
    if (bytes[at] == ':')
        return HTTP_SHAPE_STREAM;
    enum http_shape shape = look_for_fields(bytes + at, size - at);
    return shape == HTTP_SHAPE_WHOLE && typed ? HTTP_SHAPE_STREAM : shape;
}
