#include "llm/done_mark.h"

#include <string.h>
#include <strings.h>

static bool begins_with(const char *text, size_t size, const char *word)
{
    return size >= strlen(word) && strncasecmp(text, word, strlen(word)) == 0;
}

bool done_mark_is(const char *data, size_t size)
{
    return begins_with(data, size, "[DONE]") || (size == strlen("\"[DONE]\"") && begins_with(data, size, "\"[DONE]\""));
}

size_t done_mark_skip(const char *text, size_t size, bool *ret_done)
{
    size_t at = 0;
    *ret_done = false;
    while (at < size) {
        size_t left = size - at;
        if (text[at] == '\0' || strchr(" \t\r\n", text[at]) != NULL) {
            at++;
        } else if (begins_with(text + at, left, "[DONE]")) {
            at += strlen("[DONE]");
            *ret_done = true;
        } else if (begins_with(text + at, left, "data:")) {
            size_t value = at + strlen("data:");
            while (value < size && (text[value] == ' ' || text[value] == '\t'))
                value++;
            if (value < size && !begins_with(text + value, size - value, "[DONE]"))
                break;
            at = value;
        } else {
            break;
        }
    }
    return at;
}
