#include "http/http_header.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* If the line is header `name`, copies its value, trimmed, to out; a value too long is cut off. */
static bool header_value(const char *line, size_t size, const char *name, char *out, size_t out_size)
{
    size_t name_size = strlen(name);
    if (size <= name_size || line[name_size] != ':' || strncasecmp(line, name, name_size) != 0)
        return false;
    const char *value = line + name_size + 1;
    size_t length = size - name_size - 1;
    while (length > 0 && isspace((unsigned char)*value)) {
        value++;
        length--;
    }
    while (length > 0 && isspace((unsigned char)value[length - 1]))
        length--;
    if (length >= out_size)
        return false;
    memcpy(out, value, length);
    out[length] = '\0';
    return true;
}

static bool is_event_stream(const char *line, size_t size)
{
    static const char type[] = "text/event-stream";
    char value[64];
    return header_value(line, size, "content-type", value, sizeof value) && strncasecmp(value, type, sizeof type - 1) == 0;
}

void http_header_arrived(const char *line, size_t size, void *arg)
{
    struct http_call *call = arg;
    char first = size > 0 ? (char)(line[0] | 0x20) : '\0';
    if (first == 'r') {
        if (!header_value(line, size, "retry-after-ms", call->retry_after_ms, sizeof call->retry_after_ms))
            header_value(line, size, "retry-after", call->retry_after, sizeof call->retry_after);
    } else if (first == 'l' && call->retry_after_ms[0] == '\0' && call->retry_after[0] == '\0') { /* LiteLLM's proxy: the header of the provider behind it */
        if (!header_value(line, size, "llm_provider-retry-after-ms", call->retry_after_ms, sizeof call->retry_after_ms))
            header_value(line, size, "llm_provider-retry-after", call->retry_after, sizeof call->retry_after);
    } else if (first == 'x') {
        char word[8];
        if (header_value(line, size, "x-should-retry", word, sizeof word))
            call->should_retry = strcasecmp(word, "true") == 0 ? 1 : strcasecmp(word, "false") == 0 ? 0 : -1;
    } else if (first == 'c') {
        char packing[16];
        if (call->request->sink != NULL && is_event_stream(line, size))
            call->is_typed_stream = true;
        else if (header_value(line, size, "content-encoding", packing, sizeof packing))
            call->says_deflate = strcasecmp(packing, "deflate") == 0;
    }
}
