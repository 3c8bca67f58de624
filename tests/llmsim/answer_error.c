#include "answer_error.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "answer.h"
#include "answer_stream.h"
#include "base/alloc.h"
#include "base/cleanup.h"

static const char *code_of_status(int status)
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

char *answer_error_body(int status, const char *shape, const char *code, const char *message)
{
    const char *type = error_type(status, code);
    AUTO_FREE char *text = draft_quoted(message);
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
    AUTO_FREE char *body = answer_error_body(status, shape, code != NULL ? code : code_of_status(status), message);
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

void answer_error_by_status(struct draft *c, int64_t now_s)
{
    const struct fault *f = c->fault;
    const char *code = f->code[0] != '\0' ? f->code : code_of_status(f->status);
    const char *shape = f->shape[0] != '\0' ? f->shape : "openai";
    AUTO_FREE char *message =
        strcmp(code, "insufficient_quota") == 0
            ? xstrdup("You exceeded your current quota, please check your plan and billing details.")
        : strcmp(f->name, "loading") == 0 ? xstrdup("Loading model")
                                          : xasprintf("simulated error %d", f->status);
    AUTO_FREE char *body = answer_error_body(f->status, shape, code, message);
    AUTO_FREE char *headers = retry_headers(f, now_s);
    script_response(c->script, c->latency_ms, f->status, strcmp(shape, "html") == 0 ? "text/html" : "application/json", headers,
                 body, strlen(body));
}

/* The body's type: JSON, HTML, or text. */
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

void answer_error_of_dialect(struct draft *c, const char *name)
{
    const struct dialect *dialect = c->options->refusals;
    const struct dialect_section *form = dialect_own(dialect, name);
    AUTO_FREE char *streamed_name = xasprintf("%s-stream", name);
    const struct dialect_section *streamed = c->ask->stream ? dialect_own(dialect, streamed_name) : NULL;
    struct dialect_values values = draft_values(c);
    if (values.limit == 0) { /* a usual limit, and a prompt beyond it */
        values.limit = 8192;
        values.prompt += values.limit;
    }
    if (form == NULL) {
        AUTO_FREE char *message = xasprintf("the dialect %s has no refusal '%s'", dialect->name, name);
        AUTO_FREE char *body = answer_error_body(400, "openai", "llmsim_bad_fault", message);
        script_response(c->script, 0, 400, "application/json", "", body, strlen(body));
    } else if (streamed != NULL || (c->ask->stream && form->status == 200)) {
        script_stream_head(c->script, c->latency_ms);
        AUTO_FREE char *body = dialect_fill(form->body, strlen(form->body), &values);
        if (streamed != NULL)
            answer_stream_events(c, streamed);
        else
            answer_stream_line(c, 0, "data: ", body);
        answer_stream_events(c, dialect_form(dialect, "end"));
        answer_stream_end(c);
    } else {
        AUTO_FREE char *body = dialect_fill(form->body, strlen(form->body), &values);
        script_response(c->script, c->latency_ms, form->status, type_of(body), form->headers, body, strlen(body));
    }
}

void answer_error_overflow(struct draft *c)
{
    if (c->dialect != NULL && c->fault->shape[0] == '\0' && c->options->ctx_shape == NULL) {
        answer_error_of_dialect(c, "too-long");
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
        body = answer_error_body(400, shape, "context_length_exceeded", message);
    }
    script_response(c->script, c->fault->latency_ms > 0 ? c->fault->latency_ms : 0, 400, "application/json", "", body,
                 strlen(body));
}
