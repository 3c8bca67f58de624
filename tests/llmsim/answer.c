#include "answer.h"

#include <stdlib.h>
#include <string.h>

#include "answer_error.h"
#include "answer_stream.h"
#include "answer_whole.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "draft.h"

#define UNICODE_TAIL " h\xc3\xa9llo \xe2\x98\x83 \xf0\x9f\x98\x80"

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

/* Faults that are the same for a stream and a whole body. True: the answer is done. */
static bool early_answer(struct draft *c, int64_t now_s)
{
    struct script *s = c->script;
    const struct fault *f = c->fault;
    switch (f->kind) {
    case FAULT_STATUS:
        answer_error_by_status(c, now_s);
        return true;
    case FAULT_REFUSAL:
        answer_error_of_dialect(c, f->name);
        return true;
    case FAULT_OVERFLOW:
        answer_error_overflow(c);
        return true;
    case FAULT_ERROR_200:
    case FAULT_STREAM_ERROR: {
        if (f->kind == FAULT_STREAM_ERROR && c->ask->stream)
            return false;
        AUTO_FREE char *body = answer_error_body(f->code[0] ? 400 : 500, f->shape[0] ? f->shape : "openai",
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

/* A stream is held after its first n words, if n is set and it has more; other answers from the first byte on. */
static void hold(struct draft *c)
{
    struct script *s = c->script;
    size_t step = c->ask->stream && c->fault->n > 0 ? c->first_word_step + (size_t)c->fault->n : 0;
    s->steps[step < s->count ? step : 0].held = true;
}

void answer_chat(struct script *ret, const struct plan_options *options, const struct ask *ask,
                 const struct fault *fault, uint64_t number, int64_t now_s)
{
    *ret = (struct script){.drip_ms = -1};
    struct draft c = {.script = ret, .options = options, .ask = ask, .fault = fault, .number = number};
    c.dialect = options->dialect;
    bool quick = fault->kind == FAULT_STATUS || fault->kind == FAULT_REFUSAL || fault->kind == FAULT_RESET || fault->kind == FAULT_CLOSE || fault->kind == FAULT_HOLD;
    c.latency_ms = fault->latency_ms >= 0 ? fault->latency_ms : quick ? 0 : plan_latency_ms(options, number);
    c.model = draft_quoted(ask->model);

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
        answer_error_overflow(&c);
    else if (!early_answer(&c, now_s)) {
        if (ask->stream)
            answer_stream(&c);
        else
            answer_whole(&c);
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
