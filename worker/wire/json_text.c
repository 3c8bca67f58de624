#include "wire/json_text.h"

#include <stdbool.h>
#include <stdlib.h>

/* Brackets outside strings, counted without parsing: malformed text is the parser's to refuse. */
static bool nested_too_deep(const char *text, size_t size)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > JSON_TEXT_DEPTH_MAX)
                return true;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return false;
}

json_t *json_text_load(const char *text, size_t size)
{
    if (size == 0 || nested_too_deep(text, size))
        return NULL;
    return json_loadb(text, size, JSON_ALLOW_NUL, NULL);
}
