#include "answer_stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer_error.h"
#include "base/alloc.h"
#include "base/cleanup.h"

/* One event, or one comment, as one HTTP chunk. */
void answer_stream_line(struct draft *c, int64_t delay_ms, const char *prefix, const char *text)
{
    struct script *s = c->script;
    const char *eol = c->fault->kind == FAULT_CRLF ? "\r\n" : "\n";
    size_t size = strlen(prefix) + strlen(text) + 2 * strlen(eol);
    if (c->fault->kind != FAULT_SPLIT_UTF8) {
        char *chunk = xasprintf("%zx\r\n%s%s%s%s\r\n", size, prefix, text, eol, eol);
        script_add_owned(s, delay_ms, chunk, strlen(chunk));
        return;
    }
    /* Split in HTTP chunks and in writes. */
    AUTO_FREE char *line = xasprintf("%s%s%s%s", prefix, text, eol, eol);
    for (size_t from = 0, i = 0; i < size; i++)
        if (((unsigned char)line[i] & 0xC0) == 0xC0 || i + 1 == size) {
            char *chunk = xasprintf("%zx\r\n%.*s\r\n", i + 1 - from, (int)(i + 1 - from), line + from);
            script_add_owned(s, from == 0 ? delay_ms : SCRIPT_SPLIT_PAUSE_MS, chunk, strlen(chunk));
            from = i + 1;
        }
}

void answer_stream_events(struct draft *c, const struct dialect_section *section)
{
    struct dialect_values values = draft_values(c);
    size_t at = 0;
    for (char *event; section != NULL && (event = dialect_next_event(section, &at, &values)) != NULL; free(event))
        answer_stream_line(c, 0, "", event);
}

/* choices and usage: JSON, "" for none of it. */
static void add_event(struct draft *c, int64_t delay_ms, const char *choices, const char *usage)
{
    AUTO_FREE char *event = xasprintf("{\"id\":\"chatcmpl-%" PRIu64 "\",\"object\":\"chat.completion.chunk\",\"created\":%" PRId64
                                      ",\"model\":%s%s%s%s%s}",
                                      c->number, DRAFT_CREATED, c->model, choices[0] ? ",\"choices\":" : "", choices,
                                      usage[0] ? ",\"usage\":" : "", usage);
    if (c->fault->kind == FAULT_COMMENTS)
        answer_stream_line(c, delay_ms, ": ", "llmsim is thinking");
    answer_stream_line(c, c->fault->kind == FAULT_COMMENTS ? 0 : delay_ms, "data: ", event);
}

static void add_delta(struct draft *c, int64_t delay_ms, const char *members, const char *finish_reason)
{
    AUTO_FREE char *finish = finish_reason == NULL ? xstrdup("null") : xasprintf("\"%s\"", finish_reason);
    AUTO_FREE char *choices =
        xasprintf("[{\"index\":0,\"delta\":{%s},\"logprobs\":null,\"finish_reason\":%s}]", members, finish);
    add_event(c, delay_ms, choices, "");
}

void answer_stream_end(struct draft *c)
{
    script_add(c->script, 0, "0\r\n\r\n", 5);
}

static void tool_call_deltas(struct draft *c)
{
    AUTO_FREE char *first = xasprintf("\"tool_calls\":[{\"index\":0,\"id\":\"call_%" PRIu64 "\",\"type\":\"function\","
                                      "\"function\":{\"name\":\"lookup\",\"arguments\":\"\"}}]",
                                      c->number);
    add_delta(c, 0, first, NULL);
    add_delta(c, c->options->token_interval_ms, "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"q\\\"\"}}]", NULL);
    add_delta(c, c->options->token_interval_ms, "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\": 1}\"}}]", NULL);
}

/* The pieces for `when`; the first after delay_ms. */
static void add_pieces(struct draft *c, int when, int64_t delay_ms, const char *word)
{
    struct dialect_values values = draft_values(c);
    values.word = word;
    struct dialect_piece piece;
    for (size_t at = 0; dialect_next_piece(c->dialect, c->fault->kind == FAULT_TOOL_CALLS, &at, &piece);) {
        if ((int)piece.when != when)
            continue;
        AUTO_FREE char *event = dialect_event(c->dialect, &piece, values);
        answer_stream_line(c, delay_ms, "", event);
    }
}

/* Up to `most` deltas, a word each. */
static void word_deltas(struct draft *c, int64_t most)
{
    c->first_word_step = c->script->count;
    const char *at = c->text;
    for (int64_t i = 0; i < most && *at != '\0'; i++) {
        size_t size = plan_words_end(at, 1);
        AUTO_FREE char *word = xmemdup0(at, size);
        if (draft_is_formed(c)) {
            add_pieces(c, PIECE_EACH_WORD, i == 0 ? 0 : c->options->token_interval_ms, word);
            at += size;
            continue;
        }
        AUTO_FREE char *text = draft_quoted(word);
        AUTO_FREE char *members = xasprintf("\"content\":%s", text);
        add_delta(c, i == 0 ? 0 : c->options->token_interval_ms, members, NULL);
        at += size;
    }
}

static void huge_deltas(struct draft *c)
{
    AUTO_FREE char *xs = xcalloc(1, 1025);
    memset(xs, 'x', 1024);
    AUTO_FREE char *members = xasprintf("\"content\":\"%s\"", xs);
    add_delta(c, 0, members, NULL);
    c->script->steps[c->script->count - 1].repeat = c->fault->bytes / 1024;
}

/* True: the fault ended the stream. */
static bool stream_breaks(struct draft *c, int64_t words)
{
    int64_t n = c->fault->n >= 0 ? c->fault->n : words / 2;
    switch (c->fault->kind) {
    case FAULT_STREAM_ERROR: {
        word_deltas(c, n);
        if (c->dialect != NULL && c->fault->code[0] == '\0' && c->fault->shape[0] == '\0') {
            answer_stream_events(c, dialect_form(c->dialect, "broken-stream"));
            answer_stream_end(c);
            return true;
        }
        AUTO_FREE char *body = answer_error_body(c->fault->code[0] ? 400 : 500, c->fault->shape[0] ? c->fault->shape : "openai",
                                          c->fault->code[0] ? c->fault->code : "server_error", "simulated error in the stream");
        answer_stream_line(c, c->options->token_interval_ms, "data: ", body);
        answer_stream_end(c);
        return true;
    }
    case FAULT_NO_DONE:
        word_deltas(c, n);
        answer_stream_end(c);
        return true;
    case FAULT_TRUNCATED:
        word_deltas(c, n);
        c->script->end = SCRIPT_CLOSE;
        c->script->broken = true;
        return true;
    case FAULT_STALL:
        word_deltas(c, n);
        c->script->end = SCRIPT_HANG;
        c->script->broken = true;
        return true;
    case FAULT_CHATTER:
        answer_stream_line(c, c->fault->ms >= 0 ? c->fault->ms : 100, ": ", "keep-alive");
        c->script->steps[c->script->count - 1].repeat = -1;
        c->script->broken = true;
        return true;
    default:
        return false;
    }
}

static void stream_in_dialect(struct draft *c)
{
    script_stream_head(c->script, c->latency_ms);
    answer_stream_events(c, dialect_form(c->dialect, "before"));
    add_pieces(c, PIECE_ONCE, 0, "");
    if (stream_breaks(c, plan_words(c->text)))
        return;
    if (c->fault->kind != FAULT_TOOL_CALLS)
        word_deltas(c, INT64_MAX);
    add_pieces(c, PIECE_LAST, c->options->token_interval_ms, "");
    if (c->ask->include_usage)
        answer_stream_events(c, dialect_form(c->dialect, "usage"));
    answer_stream_events(c, dialect_form(c->dialect, "end"));
    answer_stream_end(c);
}

void answer_stream(struct draft *c)
{
    if (draft_is_formed(c)) {
        stream_in_dialect(c);
        return;
    }
    script_stream_head(c->script, c->latency_ms);
    if (c->fault->kind == FAULT_EMPTY_CHOICES) /* as Azure begins, with its filter's results */
        add_event(c, 0, "[]", "");
    add_delta(c, 0, "\"role\":\"assistant\",\"content\":\"\"", NULL);
    if (stream_breaks(c, plan_words(c->text)))
        return;

    switch (c->fault->kind) {
    case FAULT_TOOL_CALLS:
        tool_call_deltas(c);
        break;
    case FAULT_HUGE:
        huge_deltas(c);
        break;
    case FAULT_NULL_CONTENT:
        add_delta(c, 0, "\"content\":null", NULL);
        break;
    case FAULT_NO_MESSAGE:
        break;
    case FAULT_NOT_JSON:
        answer_stream_line(c, 0, "data: ", "{this is not JSON");
        break;
    case FAULT_BAD_UTF8:
        add_delta(c, 0, "\"content\":\"bad \xff\xfe\xc3( bytes\"", NULL);
        break;
    case FAULT_EMPTY_CHOICES:
        add_event(c, 0, "", "");
        add_event(c, 0, "[{\"index\":0,\"content_filter_offsets\":{},\"finish_reason\":null}]", "");
        word_deltas(c, INT64_MAX);
        break;
    default:
        word_deltas(c, INT64_MAX);
        break;
    }
    add_delta(c, c->options->token_interval_ms, "", c->finish_reason);
    if (c->ask->include_usage && c->fault->kind != FAULT_NO_USAGE) {
        AUTO_FREE char *usage = draft_usage(c);
        add_event(c, 0, "[]", usage);
    }
    answer_stream_line(c, 0, "data: ", "[DONE]");
    answer_stream_end(c);
}
