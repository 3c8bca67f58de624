#include "answer_whole.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define HUGE_PIECE 65536

static char *message_json(const struct draft *c)
{
    AUTO_FREE char *text = draft_quoted(c->text);
    switch (c->fault->kind) {
    case FAULT_NO_MESSAGE:
        return xstrdup("");
    case FAULT_NULL_CONTENT:
        return xstrdup("\"message\":{\"role\":\"assistant\",\"content\":null},");
    case FAULT_TOOL_CALLS:
        return xasprintf("\"message\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"call_%" PRIu64
                         "\",\"type\":\"function\",\"function\":{\"name\":\"lookup\",\"arguments\":\"{\\\"q\\\": 1}\"}}]},",
                         c->number);
    case FAULT_BAD_UTF8:
        return xstrdup("\"message\":{\"role\":\"assistant\",\"content\":\"bad \xff\xfe\xc3( bytes\"},");
    default:
        return xasprintf("\"message\":{\"role\":\"assistant\",\"content\":%s},", text);
    }
}

static char *json_body(const struct draft *c)
{
    if (draft_is_formed(c))
        return dialect_whole(c->dialect, c->fault->kind == FAULT_TOOL_CALLS, draft_values(c));
    AUTO_FREE char *message = message_json(c);
    AUTO_FREE char *usage = draft_usage(c);
    AUTO_FREE char *choice =
        c->fault->kind == FAULT_EMPTY_CHOICES
            ? xstrdup("")
            : xasprintf("{\"index\":0,%s\"logprobs\":null,\"finish_reason\":\"%s\"}", message, c->finish_reason);
    bool booked = c->fault->kind != FAULT_NO_USAGE;
    return xasprintf("{\"id\":\"chatcmpl-%" PRIu64 "\",\"object\":\"chat.completion\",\"created\":%" PRId64
                     ",\"model\":%s,\"choices\":[%s]%s%s,\"system_fingerprint\":\"llmsim\"}",
                     c->number, DRAFT_CREATED, c->model, choice, booked ? ",\"usage\":" : "", booked ? usage : "");
}

/* Valid JSON, its content fault->bytes of 'x', sent from one small buffer. */
static void huge_json(struct draft *c)
{
    int64_t pieces = (c->fault->bytes + HUGE_PIECE - 1) / HUGE_PIECE;
    AUTO_FREE char *before = xasprintf("{\"id\":\"chatcmpl-%" PRIu64 "\",\"object\":\"chat.completion\",\"model\":%s,"
                                       "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"",
                                       c->number, c->model);
    const char *after = "\"},\"finish_reason\":\"stop\"}]}";
    AUTO_FREE char *start = script_head(200, "application/json", "", strlen(before) + (size_t)pieces * HUGE_PIECE + strlen(after));
    AUTO_FREE char *xs = xcalloc(1, HUGE_PIECE);
    memset(xs, 'x', HUGE_PIECE);
    script_add(c->script, c->latency_ms, start, strlen(start));
    script_add(c->script, 0, before, strlen(before));
    script_add(c->script, 0, xs, HUGE_PIECE);
    c->script->steps[c->script->count - 1].repeat = pieces - 1;
    script_add(c->script, 0, after, strlen(after));
}

void answer_whole(struct draft *c)
{
    struct script *s = c->script;
    if (c->fault->kind == FAULT_HUGE) {
        huge_json(c);
        return;
    }
    AUTO_FREE char *body = json_body(c);
    script_response(s, c->latency_ms, 200, "application/json", "", body, strlen(body));
    size_t size = s->steps[0].size;
    if (c->fault->kind == FAULT_TRUNCATED) {
        script_cut_last(s, size - strlen(body) / 2);
        s->end = SCRIPT_CLOSE;
    } else if (c->fault->kind == FAULT_STALL) {
        script_cut_last(s, size - strlen(body) / 2);
        s->end = SCRIPT_HANG;
    } else if (c->fault->kind == FAULT_SPLIT_UTF8) {
        script_split_last(s);
    }
}
