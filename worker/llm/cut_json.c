#include "llm/cut_json.h"

#include <stdbool.h>
#include <string.h>

#include "llm/text_buffer.h"
#include "wire/json_text.h"

#define NESTED_MAX 32

json_t *cut_json_load(const char *body, size_t size)
{
    char ends[NESTED_MAX + 1];
    size_t open = 0, end = size;
    bool in_text = false;
    for (size_t i = 0; i < size; i++) {
        if (in_text && body[i] == '\\') {
            if (end == size && size - i < strlen("\\u0000"))
                end = i; /* the last character may be cut */
            i++;
        } else if (body[i] == '"') {
            in_text = !in_text;
        } else if (in_text) {
            continue;
        } else if (body[i] == '{' || body[i] == '[') {
            if (open == NESTED_MAX)
                return NULL;
            ends[open++] = body[i] == '{' ? '}' : ']';
        } else if ((body[i] == '}' || body[i] == ']') && open > 0) {
            open--;
        }
    }
    if (!in_text || open == 0)
        return NULL;
    struct text_buffer whole = {0};
    text_buffer_append(&whole, body, end);
    text_buffer_append(&whole, "\"", 1);
    while (open > 0)
        text_buffer_append(&whole, &ends[--open], 1);
    json_t *root = json_text_load_mended(whole.bytes, whole.size);
    text_buffer_finish(&whole);
    return root;
}
