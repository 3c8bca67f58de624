#include "answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define CREATED INT64_C(1767225600) /* constant, so that answers are the same in each run */
#define HUGE_PIECE 65536
#define UNICODE_TAIL " h\xc3\xa9llo \xe2\x98\x83 \xf0\x9f\x98\x80"

/* Everything the pieces of one answer have in common. */
struct context {
    struct script *script;
    const struct plan_options *options;
    const struct ask *ask;
    const struct fault *fault;
    uint64_t number;
    char *model; /* as JSON, with its quotes */
    char *text;
    const char *finish_reason;
    int64_t latency_ms;
    int64_t completion_words;
    const struct dialect *dialect; /* NULL: the short form */
    size_t first_word_step;        /* of a stream: where its words begin */
};

/* What the dialect's forms are filled with. */
static struct dialect_values values_of(const struct context *c)
{
    int64_t words = c->ask->prompt_words, ctx = c->options->ctx;
    return (struct dialect_values){
        .number = c->number, .created = CREATED, .prompt = words, .completion = c->completion_words, .limit = ctx, .model = c->ask->model, .text = c->text,
        .word = "", .path = "", .member = "", .finish = c->finish_reason};
}

static char *quoted(const char *text)
{
    AUTO_JSON json_t *string = json_string(text);
    char *quotes = string == NULL ? NULL : json_dumps(string, JSON_ENCODE_ANY);
    if (quotes == NULL) /* text cut inside a character */
        return xstrdup("\"\"");
    return quotes;
}

void answer_plain(struct script *ret, int status, const char *headers, const char *body)
{
    *ret = (struct script){.drip_ms = -1};
    script_response(ret, 0, status, "application/json", headers, body, strlen(body));
}

void answer_typed(struct script *ret, int64_t delay_ms, int status, const char *type, const char *body, size_t size)
{
    *ret = (struct script){.drip_ms = -1};
    script_response(ret, delay_ms, status, type, "", body, size);
}

static const char *error_code(int status)
{
    switch (status) {
    case 400: return "invalid_request";
    case 401: return "invalid_api_key";
    case 404: return "model_not_found";
    case 429: return "rate_limit_exceeded";
    case 503:
    case 529: return "overloaded";
    default: return status >= 500 ? "server_error" : "request_failed";
    }
}

static const char *error_type(int status, const char *code)
{
    if (strcmp(code, "insufficient_quota") == 0)
        return "insufficient_quota";
    if (status == 429)
        return "requests";
    if (status == 529)
        return "overloaded_error";
    return status >= 500 ? "server_error" : "invalid_request_error";
}

/* The error's body in a shape; owned. code, type and message are plain ASCII. */
static char *error_body(int status, const char *shape, const char *code, const char *message)
{
    const char *type = error_type(status, code);
    AUTO_FREE char *text = quoted(message);
    if (strcmp(shape, "llamacpp") == 0)
        return xasprintf("{\"error\":{\"code\":%d,\"message\":%s,\"type\":\"%s\"}}", status, text,
                         status == 503 ? "unavailable_error" : type);
    if (strcmp(shape, "vllm") == 0)
        return xasprintf("{\"object\":\"error\",\"message\":%s,\"type\":\"%s\",\"param\":null,\"code\":%d}", text, type,
                         status);
    if (strcmp(shape, "tgi") == 0)
        return xasprintf("{\"error\":%s,\"error_type\":\"%s\"}", text, status == 424 ? "generation" : "overloaded");
    if (strcmp(shape, "detail") == 0)
        return xasprintf("{\"detail\":%s}", text);
    if (strcmp(shape, "html") == 0)
        return xasprintf("<html><head><title>%d</title></head><body><h1>%d %s</h1></body></html>\n", status, status,
                         script_reason(status));
    if (strcmp(shape, "empty") == 0)
        return xstrdup("");
    return xasprintf("{\"error\":{\"message\":%s,\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}", text, type, code);
}

void answer_error(struct script *ret, int status, const char *shape, const char *code, const char *message)
{
    AUTO_FREE char *body = error_body(status, shape, code != NULL ? code : error_code(status), message);
    answer_plain(ret, status, "", body);
}

static char *retry_headers(const struct fault *f, int64_t now_s)
{
    char after[128] = "", ms[96] = "", should[48] = "";
    if (f->retry_after_dated) {
        time_t at = (time_t)(now_s + f->retry_after_in_s);
        struct tm utc;
        if (gmtime_r(&at, &utc) != NULL)
            strftime(after, sizeof(after), "Retry-After: %a, %d %b %Y %H:%M:%S GMT\r\n", &utc);
    } else if (f->retry_after[0] != '\0') {
        snprintf(after, sizeof(after), "Retry-After: %s\r\n", f->retry_after);
    }
    if (f->retry_after_ms[0] != '\0')
        snprintf(ms, sizeof(ms), "retry-after-ms: %s\r\n", f->retry_after_ms);
    if (f->should_retry[0] != '\0')
        snprintf(should, sizeof(should), "x-should-retry: %s\r\n", f->should_retry);
    return xasprintf("%s%s%s", after, ms, should);
}

static void status_answer(struct context *c, int64_t now_s)
{
    const struct fault *f = c->fault;
    const char *code = f->code[0] != '\0' ? f->code : error_code(f->status);
    const char *shape = f->shape[0] != '\0' ? f->shape : "openai";
    AUTO_FREE char *message =
        strcmp(code, "insufficient_quota") == 0
            ? xstrdup("You exceeded your current quota, please check your plan and billing details.")
        : strcmp(f->name, "loading") == 0 ? xstrdup("Loading model")
                                          : xasprintf("simulated error %d", f->status);
    AUTO_FREE char *body = error_body(f->status, shape, code, message);
    AUTO_FREE char *headers = retry_headers(f, now_s);
    script_response(c->script, c->latency_ms, f->status, strcmp(shape, "html") == 0 ? "text/html" : "application/json", headers,
                 body, strlen(body));
}

/* JSON, a page, or a text. */
static const char *type_of(const char *body)
{
    return body[0] == '{' || body[0] == '[' ? "application/json" : body[0] == '<' ? "text/html; charset=utf-8" : "text/plain";
}

bool answer_refusal(struct script *ret, const struct dialect *dialect, const char *name, const struct dialect_values *values)
{
    const struct dialect_section *form = dialect_own(dialect, name);
    *ret = (struct script){.drip_ms = -1};
    if (form == NULL)
        return false;
    AUTO_FREE char *body = dialect_fill(form->body, strlen(form->body), values);
    script_response(ret, 0, form->status, type_of(body), form->headers, body, strlen(body));
    return true;
}

static void add_line(struct context *c, int64_t delay_ms, const char *prefix, const char *text);
static void add_events(struct context *c, const struct dialect_section *section);
static void end_chunks(struct context *c);

/* Streamed where it has a form for that, or a 200 would be taken for an answer. */
static void refuse(struct context *c, const char *name)
{
    const struct dialect *dialect = c->options->refusals;
    const struct dialect_section *form = dialect_own(dialect, name);
    AUTO_FREE char *streamed_name = xasprintf("%s-stream", name);
    const struct dialect_section *streamed = c->ask->stream ? dialect_own(dialect, streamed_name) : NULL;
    struct dialect_values values = values_of(c);
    if (values.limit == 0) { /* as much as a model holds, and a prompt beyond it */
        values.limit = 8192;
        values.prompt += values.limit;
    }
    if (form == NULL) {
        AUTO_FREE char *message = xasprintf("the dialect %s has no refusal '%s'", dialect->name, name);
        AUTO_FREE char *body = error_body(400, "openai", "llmsim_bad_fault", message);
        script_response(c->script, 0, 400, "application/json", "", body, strlen(body));
    } else if (streamed != NULL || (c->ask->stream && form->status == 200)) {
        script_stream_head(c->script, c->latency_ms);
        AUTO_FREE char *body = dialect_fill(form->body, strlen(form->body), &values);
        if (streamed != NULL)
            add_events(c, streamed);
        else
            add_line(c, 0, "data: ", body);
        add_events(c, dialect_form(dialect, "end"));
        end_chunks(c);
    } else {
        AUTO_FREE char *body = dialect_fill(form->body, strlen(form->body), &values);
        script_response(c->script, c->latency_ms, form->status, type_of(body), form->headers, body, strlen(body));
    }
}

static void overflow_answer(struct context *c)
{
    if (c->dialect != NULL && c->fault->shape[0] == '\0' && c->options->ctx_shape == NULL) {
        refuse(c, "too-long");
        return;
    }
    int64_t limit = c->options->ctx > 0 ? c->options->ctx : (c->ask->prompt_words > 1 ? c->ask->prompt_words - 1 : 1);
    const char *shape = c->fault->shape[0] != '\0' ? c->fault->shape : c->options->ctx_shape != NULL ? c->options->ctx_shape : "llamacpp";
    AUTO_FREE char *body = NULL;
    if (strcmp(shape, "llamacpp") == 0) {
        body = xasprintf("{\"error\":{\"code\":400,\"message\":\"the request exceeds the available context size, try "
                         "increasing it\",\"type\":\"exceed_context_size_error\",\"n_prompt_tokens\":%" PRId64
                         ",\"n_ctx\":%" PRId64 "}}",
                         c->ask->prompt_words, limit);
    } else {
        AUTO_FREE char *message =
            xasprintf("This model's maximum context length is %" PRId64 " tokens. However, your messages resulted in %" PRId64
                      " tokens. Please reduce the length of the messages.",
                      limit, c->ask->prompt_words);
        body = error_body(400, shape, "context_length_exceeded", message);
    }
    script_response(c->script, c->fault->latency_ms > 0 ? c->fault->latency_ms : 0, 400, "application/json", "", body,
                 strlen(body));
}

static char *usage_json(const struct context *c)
{
    return xasprintf("{\"prompt_tokens\":%" PRId64 ",\"completion_tokens\":%" PRId64 ",\"total_tokens\":%" PRId64 "}",
                     c->ask->prompt_words, c->completion_words, c->ask->prompt_words + c->completion_words);
}

/* ---- one JSON body -------------------------------------------------------------------------------- */

static char *message_json(const struct context *c)
{
    AUTO_FREE char *text = quoted(c->text);
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

/* Has the dialect a form for it? What goes wrong with the form itself is shown in the short one. */
static bool is_formed(const struct context *c)
{
    switch (c->fault->kind) {
    case FAULT_NO_MESSAGE:
    case FAULT_NULL_CONTENT:
    case FAULT_BAD_UTF8:
    case FAULT_EMPTY_CHOICES:
    case FAULT_NO_USAGE:
    case FAULT_HUGE:
    case FAULT_NOT_JSON:
        return false;
    default:
        return c->dialect != NULL;
    }
}

static char *json_body(const struct context *c)
{
    if (is_formed(c))
        return dialect_whole(c->dialect, c->fault->kind == FAULT_TOOL_CALLS, values_of(c));
    AUTO_FREE char *message = message_json(c);
    AUTO_FREE char *usage = usage_json(c);
    AUTO_FREE char *choice =
        c->fault->kind == FAULT_EMPTY_CHOICES
            ? xstrdup("")
            : xasprintf("{\"index\":0,%s\"logprobs\":null,\"finish_reason\":\"%s\"}", message, c->finish_reason);
    bool booked = c->fault->kind != FAULT_NO_USAGE;
    return xasprintf("{\"id\":\"chatcmpl-%" PRIu64 "\",\"object\":\"chat.completion\",\"created\":%" PRId64
                     ",\"model\":%s,\"choices\":[%s]%s%s,\"system_fingerprint\":\"llmsim\"}",
                     c->number, CREATED, c->model, choice, booked ? ",\"usage\":" : "", booked ? usage : "");
}

/* Valid JSON, its content fault->bytes of 'x', sent from one small buffer. */
static void huge_json(struct context *c)
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

static void json_answer(struct context *c)
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

/* ---- a stream of server-sent events ------------------------------------------------------------------ */

/* One event, or one comment, as one HTTP chunk. */
static void add_line(struct context *c, int64_t delay_ms, const char *prefix, const char *text)
{
    struct script *s = c->script;
    const char *eol = c->fault->kind == FAULT_CRLF ? "\r\n" : "\n";
    size_t size = strlen(prefix) + strlen(text) + 2 * strlen(eol);
    if (c->fault->kind != FAULT_SPLIT_UTF8) {
        char *chunk = xasprintf("%zx\r\n%s%s%s%s\r\n", size, prefix, text, eol, eol);
        script_add_owned(s, delay_ms, chunk, strlen(chunk));
        return;
    }
    /* Split both ways: in HTTP chunks and in writes. */
    AUTO_FREE char *line = xasprintf("%s%s%s%s", prefix, text, eol, eol);
    for (size_t from = 0, i = 0; i < size; i++)
        if (((unsigned char)line[i] & 0xC0) == 0xC0 || i + 1 == size) {
            char *chunk = xasprintf("%zx\r\n%.*s\r\n", i + 1 - from, (int)(i + 1 - from), line + from);
            script_add_owned(s, from == 0 ? delay_ms : SCRIPT_SPLIT_PAUSE_MS, chunk, strlen(chunk));
            from = i + 1;
        }
}

static void add_events(struct context *c, const struct dialect_section *section)
{
    struct dialect_values values = values_of(c);
    size_t at = 0;
    for (char *event; section != NULL && (event = dialect_next_event(section, &at, &values)) != NULL; free(event))
        add_line(c, 0, "", event);
}

/* choices and usage: JSON, "" for none of it. */
static void add_event(struct context *c, int64_t delay_ms, const char *choices, const char *usage)
{
    AUTO_FREE char *event = xasprintf("{\"id\":\"chatcmpl-%" PRIu64 "\",\"object\":\"chat.completion.chunk\",\"created\":%" PRId64
                                      ",\"model\":%s%s%s%s%s}",
                                      c->number, CREATED, c->model, choices[0] ? ",\"choices\":" : "", choices,
                                      usage[0] ? ",\"usage\":" : "", usage);
    if (c->fault->kind == FAULT_COMMENTS)
        add_line(c, delay_ms, ": ", "llmsim is thinking");
    add_line(c, c->fault->kind == FAULT_COMMENTS ? 0 : delay_ms, "data: ", event);
}

static void add_delta(struct context *c, int64_t delay_ms, const char *members, const char *finish_reason)
{
    AUTO_FREE char *finish = finish_reason == NULL ? xstrdup("null") : xasprintf("\"%s\"", finish_reason);
    AUTO_FREE char *choices =
        xasprintf("[{\"index\":0,\"delta\":{%s},\"logprobs\":null,\"finish_reason\":%s}]", members, finish);
    add_event(c, delay_ms, choices, "");
}

static void end_chunks(struct context *c)
{
    script_add(c->script, 0, "0\r\n\r\n", 5);
}

static void tool_call_deltas(struct context *c)
{
    AUTO_FREE char *first = xasprintf("\"tool_calls\":[{\"index\":0,\"id\":\"call_%" PRIu64 "\",\"type\":\"function\","
                                      "\"function\":{\"name\":\"lookup\",\"arguments\":\"\"}}]",
                                      c->number);
    add_delta(c, 0, first, NULL);
    add_delta(c, c->options->token_interval_ms, "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"q\\\"\"}}]", NULL);
    add_delta(c, c->options->token_interval_ms, "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\": 1}\"}}]", NULL);
}

/* The pieces that are sent `when`; their first after delay_ms. */
static void add_pieces(struct context *c, int when, int64_t delay_ms, const char *word)
{
    struct dialect_values values = values_of(c);
    values.word = word;
    struct dialect_piece piece;
    for (size_t at = 0; dialect_next_piece(c->dialect, c->fault->kind == FAULT_TOOL_CALLS, &at, &piece);) {
        if ((int)piece.when != when)
            continue;
        AUTO_FREE char *event = dialect_event(c->dialect, &piece, values);
        add_line(c, delay_ms, "", event);
    }
}

/* Up to `most` deltas, a word each. */
static void word_deltas(struct context *c, int64_t most)
{
    c->first_word_step = c->script->count;
    const char *at = c->text;
    for (int64_t i = 0; i < most && *at != '\0'; i++) {
        size_t size = plan_words_end(at, 1);
        AUTO_FREE char *word = xmemdup0(at, size);
        if (is_formed(c)) {
            add_pieces(c, PIECE_EACH_WORD, i == 0 ? 0 : c->options->token_interval_ms, word);
            at += size;
            continue;
        }
        AUTO_FREE char *text = quoted(word);
        AUTO_FREE char *members = xasprintf("\"content\":%s", text);
        add_delta(c, i == 0 ? 0 : c->options->token_interval_ms, members, NULL);
        at += size;
    }
}

static void huge_deltas(struct context *c)
{
    AUTO_FREE char *xs = xcalloc(1, 1025);
    memset(xs, 'x', 1024);
    AUTO_FREE char *members = xasprintf("\"content\":\"%s\"", xs);
    add_delta(c, 0, members, NULL);
    c->script->steps[c->script->count - 1].repeat = c->fault->bytes / 1024;
}

/* True: the fault ended the stream. */
static bool stream_breaks(struct context *c, int64_t words)
{
    int64_t n = c->fault->n >= 0 ? c->fault->n : words / 2;
    switch (c->fault->kind) {
    case FAULT_STREAM_ERROR: {
        word_deltas(c, n);
        if (c->dialect != NULL && c->fault->code[0] == '\0' && c->fault->shape[0] == '\0') {
            add_events(c, dialect_form(c->dialect, "broken-stream"));
            end_chunks(c);
            return true;
        }
        AUTO_FREE char *body = error_body(c->fault->code[0] ? 400 : 500, c->fault->shape[0] ? c->fault->shape : "openai",
                                          c->fault->code[0] ? c->fault->code : "server_error", "simulated error in the stream");
        add_line(c, c->options->token_interval_ms, "data: ", body);
        end_chunks(c);
        return true;
    }
    case FAULT_NO_DONE:
        word_deltas(c, n);
        end_chunks(c);
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
        add_line(c, c->fault->ms >= 0 ? c->fault->ms : 100, ": ", "keep-alive");
        c->script->steps[c->script->count - 1].repeat = -1;
        c->script->broken = true;
        return true;
    default:
        return false;
    }
}

static void stream_in_dialect(struct context *c)
{
    script_stream_head(c->script, c->latency_ms);
    add_events(c, dialect_form(c->dialect, "before"));
    add_pieces(c, PIECE_ONCE, 0, "");
    if (stream_breaks(c, plan_words(c->text)))
        return;
    if (c->fault->kind != FAULT_TOOL_CALLS)
        word_deltas(c, INT64_MAX);
    add_pieces(c, PIECE_LAST, c->options->token_interval_ms, "");
    if (c->ask->include_usage)
        add_events(c, dialect_form(c->dialect, "usage"));
    add_events(c, dialect_form(c->dialect, "end"));
    end_chunks(c);
}

static void stream_answer(struct context *c)
{
    if (is_formed(c)) {
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
        add_line(c, 0, "data: ", "{this is not JSON");
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
        AUTO_FREE char *usage = usage_json(c);
        add_event(c, 0, "[]", usage);
    }
    add_line(c, 0, "data: ", "[DONE]");
    end_chunks(c);
}

/* ---- the whole ------------------------------------------------------------------------------------------ */

/* Faults that are the same for a stream and a whole body. True: the answer is done. */
static bool early_answer(struct context *c, int64_t now_s)
{
    struct script *s = c->script;
    const struct fault *f = c->fault;
    switch (f->kind) {
    case FAULT_STATUS:
        status_answer(c, now_s);
        return true;
    case FAULT_REFUSAL:
        refuse(c, f->name);
        return true;
    case FAULT_OVERFLOW:
        overflow_answer(c);
        return true;
    case FAULT_ERROR_200:
    case FAULT_STREAM_ERROR: {
        if (f->kind == FAULT_STREAM_ERROR && c->ask->stream)
            return false;
        AUTO_FREE char *body = error_body(f->code[0] ? 400 : 500, f->shape[0] ? f->shape : "openai",
                                          f->code[0] ? f->code : "server_error", "simulated error after 200");
        script_response(s, c->latency_ms, 200, "application/json", "", body, strlen(body));
        return true;
    }
    case FAULT_RESET:
    case FAULT_CLOSE:
        script_add(s, c->latency_ms, "", 0);
        s->end = f->kind == FAULT_RESET ? SCRIPT_RESET : SCRIPT_CLOSE;
        s->broken = true;
        return true;
    case FAULT_STALL:
        if (f->n > 0)
            return false;
        s->end = SCRIPT_HANG;
        s->broken = true;
        return true;
    case FAULT_NOT_JSON: {
        if (c->ask->stream && f->shape[0] == '\0')
            return false;
        const char *body = f->shape[0] ? "<html><body><h1>200 OK</h1></body></html>\n" : "this is not JSON";
        script_response(s, c->latency_ms, 200, f->shape[0] ? "text/html" : "application/json", "", body, strlen(body));
        return true;
    }
    case FAULT_EMPTY_BODY:
        script_response(s, c->latency_ms, 200, "application/json", "", "", 0);
        return true;
    default:
        return false;
    }
}

/* A stream is held after its first n words, if that was said and it has more; all else from its first byte on. */
static void hold(struct context *c)
{
    struct script *s = c->script;
    size_t step = c->ask->stream && c->fault->n > 0 ? c->first_word_step + (size_t)c->fault->n : 0;
    s->steps[step < s->count ? step : 0].held = true;
}

void answer_chat(struct script *ret, const struct plan_options *options, const struct ask *ask,
                 const struct fault *fault, uint64_t number, int64_t now_s)
{
    *ret = (struct script){.drip_ms = -1};
    struct context c = {.script = ret, .options = options, .ask = ask, .fault = fault, .number = number};
    c.dialect = options->dialect;
    bool quick = fault->kind == FAULT_STATUS || fault->kind == FAULT_REFUSAL || fault->kind == FAULT_RESET || fault->kind == FAULT_CLOSE || fault->kind == FAULT_HOLD;
    c.latency_ms = fault->latency_ms >= 0 ? fault->latency_ms : quick ? 0 : plan_latency_ms(options, number);
    c.model = quoted(ask->model);

    bool cut;
    c.text = plan_text(options, ask, &cut);
    c.finish_reason = cut ? "length" : "stop";
    if (fault->kind == FAULT_LENGTH) {
        c.text[plan_words_end(c.text, (plan_words(c.text) + 1) / 2)] = '\0';
        c.finish_reason = "length";
    } else if (fault->kind == FAULT_FILTER) {
        c.finish_reason = "content_filter";
    } else if (fault->kind == FAULT_TOOL_CALLS) {
        c.finish_reason = "tool_calls";
    } else if (fault->kind == FAULT_SPLIT_UTF8) {
        char *longer = xasprintf("%s" UNICODE_TAIL, c.text);
        free(c.text);
        c.text = longer;
    }
    c.completion_words = plan_words(c.text);

    if (options->ctx > 0 && ask->prompt_words > options->ctx)
        overflow_answer(&c);
    else if (!early_answer(&c, now_s)) {
        if (ask->stream)
            stream_answer(&c);
        else
            json_answer(&c);
    }
    if (fault->kind == FAULT_HOLD)
        hold(&c);
    if (fault->kind == FAULT_DRIP)
        ret->drip_ms = fault->ms >= 0 ? fault->ms : 20;
    if (fault->kind == FAULT_STALE)
        ret->end = SCRIPT_STALE;
    free(c.text);
    free(c.model);
}
