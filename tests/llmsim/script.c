#include "script.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"

void script_add_owned(struct script *s, int64_t delay_ms, char *bytes, size_t size)
{
    if (s->count == s->allocated) {
        s->allocated = s->allocated > 0 ? s->allocated * 2 : 1;
        s->steps = xrealloc(s->steps, s->allocated * sizeof(*s->steps));
    }
    s->steps[s->count++] = (struct script_step){.delay_ms = delay_ms, .bytes = bytes, .size = size};
}

void script_add(struct script *s, int64_t delay_ms, const char *bytes, size_t size)
{
    script_add_owned(s, delay_ms, size > 0 ? xmemdup0(bytes, size) : NULL, size);
}

void script_finish(struct script *script)
{
    for (size_t i = 0; i < script->count; i++)
        free(script->steps[i].bytes);
    free(script->steps);
    *script = (struct script){0};
}

const char *script_reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {
        {200, "OK"}, {400, "Bad Request"}, {401, "Unauthorized"}, {402, "Payment Required"}, {403, "Forbidden"},
        {404, "Not Found"}, {405, "Method Not Allowed"}, {408, "Request Timeout"}, {409, "Conflict"},
        {411, "Length Required"}, {413, "Content Too Large"}, {422, "Unprocessable Content"},
        {424, "Failed Dependency"}, {429, "Too Many Requests"}, {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"}, {502, "Bad Gateway"}, {503, "Service Unavailable"}, {504, "Gateway Timeout"},
        {529, "Overloaded"},
    };
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Status";
}

char *script_head(int status, const char *type, const char *headers, size_t length)
{
    return xasprintf("HTTP/1.1 %d %s\r\nServer: chat-llmsim\r\nContent-Type: %s\r\n%sContent-Length: %zu\r\n\r\n", status,
                     script_reason(status), type, headers, length);
}

void script_response(struct script *s, int64_t delay_ms, int status, const char *type, const char *headers,
                         const char *body, size_t size)
{
    char *all = script_head(status, type, headers, size);
    size_t head_size = strlen(all);
    all = xrealloc(all, head_size + size + 1);
    memcpy(all + head_size, body, size);
    script_add_owned(s, delay_ms, all, head_size + size);
}

void script_cut_last(struct script *s, size_t cut)
{
    if (s->steps[s->count - 1].size > cut)
        s->steps[s->count - 1].size = cut;
    s->broken = true;
}

void script_split_last(struct script *s)
{
    struct script_step whole = s->steps[--s->count];
    size_t from = 0;
    for (size_t i = 0; i < whole.size; i++)
        if (((unsigned char)whole.bytes[i] & 0xC0) == 0xC0 || i + 1 == whole.size) {
            script_add(s, from == 0 ? whole.delay_ms : SCRIPT_SPLIT_PAUSE_MS, whole.bytes + from, i + 1 - from);
            from = i + 1;
        }
    free(whole.bytes);
}

void script_stream_head(struct script *s, int64_t delay_ms)
{
    static const char start[] = "HTTP/1.1 200 OK\r\nServer: chat-llmsim\r\nContent-Type: text/event-stream\r\n"
                                "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";
    script_add(s, delay_ms, start, sizeof(start) - 1);
}
