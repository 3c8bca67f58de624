#include "llm/context_fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/byte_order_mark.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "llm/call_failure.h"
#include "llm/context_steps.h"
#include "llm/context_text.h"
#include "llm/http_targets.h"
#include "telemetry/metrics.h"

/* One source's call. */
struct source {
    struct http_request request;
    char *url, *body; /* owned; valid as long as the call */
    char *text; /* owned; NULL: none */
};

struct context_fetching {
    const struct context_question *question;
    struct http_client *client;
    struct context_steps steps;
    struct source sources[CONTEXTS_MAX]; /* by index of settings.contexts */
    struct llm_failure *failure;
    struct error *err;
    char *user;                   /* owned; NULL: none */
    struct context_values values; /* for templates */
    enum status status;           /* with over */
    bool over;
};

/* ---- one source's begin and end ---- */

/* A source has failed; for one that isn't required this is only logged. */
static void end_failed(struct context_fetching *f, size_t index, const struct llm_failure *failure, const struct error *why)
{
    const struct context_settings *context = &f->question->settings->contexts[index];
    bool required = context->required == CONTEXT_REQUIRED;
    METRIC_INC(context_failures_total);
    log_warn("context_failed", F_STR("context", context->name), F_STR("code", why->code), F_STR("job", f->question->job->id),
             F_STR("required", required ? "true" : "false"));
    if (context_ended(&f->steps, index, required) && required) {
        *f->failure = *failure;
        error_set(f->err, why->class, why->code, "context %s: %s", context->name, why->message);
    }
}

static void end_refused(struct context_fetching *f, size_t index)
{
    if (context_ended(&f->steps, index, true))
        error_set(f->err, ERROR_PERMANENT, "moderation_refused", "context %s: refused the job", f->question->settings->contexts[index].name);
}

static void start(struct context_fetching *f, size_t index)
{
    const struct context_values *values = &f->values;
    const struct context_question *question = f->question;
    const struct context_settings *context = &question->settings->contexts[index];
    struct source *source = &f->sources[index];
    struct llm_failure failure = {.retry_after_ms = -1, .should_retry = -1};
    struct error why = {0};
    int64_t patience_ms = clock_mono_ms() + context->timeout_ms;
    METRIC_INC(context_fetches_total);
    source->url = context_url_fill(context->url, values, &why);
    source->body = context_body(context->send, question->job, values->user[0] != '\0' ? values->user : NULL);
    source->request = (struct http_request){.url = source->url, .body = source->body, .until_ms = question->until_ms < patience_ms ? question->until_ms : patience_ms};
    enum status status = STATUS_FAILED;
    if (source->url != NULL)
        status = http_call_start(f->client, http_target_of_context(question->settings, index), &source->request, &why);
    if (status != STATUS_OK)
        end_failed(f, index, &failure, &why);
}

/* Reads a 2xx response: *ret_text, or of a moderation *ret_refused. */
static enum status read_body(const struct context_settings *context, const struct http_call *call, char **ret_text, bool *ret_refused, struct error *err)
{
    size_t mark = byte_order_mark_size(call->body, call->body_size);
    const char *body = call->body != NULL ? call->body + mark : "";
    size_t size = call->body_size - mark;
    enum context_verdict verdict;
    if (context->kind == CONTEXT_MODERATION) {
        if ((verdict = context_verdict_read(body, size)) == CONTEXT_UNREADABLE)
            return error_set(err, ERROR_RETRIABLE, "invalid_response", "the answer of %zu bytes is no verdict", call->body_size);
        *ret_refused = verdict == CONTEXT_REFUSED;
    } else if (!context_text_is_valid(body, size)) {
        return error_set(err, ERROR_RETRIABLE, "invalid_response", "the answer of %zu bytes is not UTF-8 without NULs", call->body_size);
    } else {
        *ret_text = xmemdup0(body, size);
    }
    return STATUS_OK;
}

static enum status read_answer(const struct context_settings *context, const struct http_call *call, char **ret_text, bool *ret_refused,
                               struct llm_failure *ret_failure, struct error *err)
{
    int status = call->end == HTTP_TIMED_OUT ? 0 : http_call_status(call);
    char code[16];
    if (status >= 300) { /* the body isn't read: its text may quote the user */
        snprintf(code, sizeof code, "http_%d", status);
        call_failure_read_headers(call, ret_failure);
        error_set(err, call_failure_class(status), code, "HTTP %d", status);
        call_failure_heed(ret_failure, err);
        return STATUS_FAILED;
    }
    if (call->end == HTTP_TIMED_OUT || call->code != CURLE_OK)
        return call_failure_unanswered(call, "bytes_max", err);
    return read_body(context, call, ret_text, ret_refused, err);
}

static void take_end(struct context_fetching *f, size_t target)
{
    const struct settings *settings = f->question->settings;
    size_t index = target - http_target_of_context(settings, 0);
    struct llm_failure failure = {.retry_after_ms = -1, .should_retry = -1};
    struct error why = {0};
    bool refused = false;
    enum status status = read_answer(&settings->contexts[index], http_client_call(f->client, target), &f->sources[index].text, &refused, &failure, &why);
    http_call_end(f->client, target);
    if (status != STATUS_OK)
        end_failed(f, index, &failure, &why);
    else if (refused)
        end_refused(f, index);
    else
        (void)context_ended(&f->steps, index, false);
}

/* ---- the whole ---- */

/* False: nothing has happened yet. */
static bool take_event(struct context_fetching *f, int64_t *ret_next_ms)
{
    size_t target = 0;
    switch (http_client_look(f->client, INT64_MAX, f->question->cancel, &target, ret_next_ms)) {
    case HTTP_WAITING: return false;
    case HTTP_ENDED: take_end(f, target); return true;
    case HTTP_TIME: return true; /* each call has its own time-out */
    case HTTP_CANCELLED: error_set(f->err, ERROR_CANCELLED, "cancelled", "fetching contexts: cut short"); break;
    case HTTP_BROKEN: error_set(f->err, ERROR_RETRIABLE, "connection_lost", "fetching contexts: libcurl can't go on"); break;
    }
    context_cancel(&f->steps);
    return true;
}

/* In the order of llm.contexts, not of arrival. */
static char *prompt_of(const struct context_fetching *f)
{
    const struct settings *settings = f->question->settings;
    struct context_part parts[CONTEXTS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < settings->fetched_count; i++)
        if (settings->contexts[i].kind == CONTEXT_TEXT)
            parts[count++] = (struct context_part){.name = settings->contexts[i].name, .text = f->sources[i].text};
    return count > 0 ? context_prompt_fill(settings->llm.context_prompt, parts, count) : NULL;
}

static enum status begin(struct context_fetching *f)
{
    const struct context_question *question = f->question;
    const struct job *job = question->job;
    if (question->until_ms <= clock_mono_ms())
        return error_set(f->err, ERROR_RETRIABLE, "timeout", "no time left to fetch contexts");
    if (http_pool_take(question->pool, &f->client, f->err) != STATUS_OK)
        return STATUS_FAILED;
    f->user = context_user(job->metadata);
    f->values = (struct context_values){.session = job->session != NULL ? job->session : "", .user = f->user != NULL ? f->user : "", .job = job->id};
    context_steps_init(&f->steps, question->settings->fetched_count, question->settings->llm.context_fetch);
    return STATUS_OK;
}

struct context_fetching *context_fetching_begin(const struct context_question *question, struct llm_failure *ret_failure, struct error *err)
{
    struct context_fetching *f = xcalloc(1, sizeof *f);
    *f = (struct context_fetching){.question = question, .failure = ret_failure, .err = err};
    *ret_failure = (struct llm_failure){.retry_after_ms = -1, .should_retry = -1};
    f->status = begin(f);
    f->over = f->status != STATUS_OK;
    return f;
}

static bool over(struct context_fetching *f, enum status status)
{
    f->over = true;
    f->status = status;
    return true;
}

bool context_fetching_go_on(struct context_fetching *f, int64_t *ret_next_ms)
{
    while (!f->over) {
        struct context_step step = context_next(&f->steps);
        switch (step.action) {
        case CONTEXT_START: start(f, step.source); break;
        case CONTEXT_WAIT:
            if (!take_event(f, ret_next_ms))
                return false;
            break;
        case CONTEXT_DROP: http_call_end(f->client, http_target_of_context(f->question->settings, step.source)); break;
        case CONTEXT_DONE: return over(f, STATUS_OK);
        case CONTEXT_FAILED: return over(f, STATUS_FAILED);
        }
    }
    return true;
}

struct http_client *context_fetching_client(struct context_fetching *f)
{
    return f->client;
}

enum status context_fetching_end(struct context_fetching **fetching, char **ret_prompt)
{
    struct context_fetching *f = steal_ptr(fetching);
    enum status status = f->status;
    if (f->client != NULL)
        http_pool_give(f->question->pool, &f->client);
    if (status == STATUS_OK)
        *ret_prompt = prompt_of(f);
    for (size_t i = 0; i < f->question->settings->fetched_count; i++) {
        free(f->sources[i].url);
        free(f->sources[i].body);
        free(f->sources[i].text);
    }
    free(f->user);
    free(f);
    return status;
}

enum status context_fetch(const struct context_question *question, char **ret_prompt, struct llm_failure *ret_failure, struct error *err)
{
    struct context_fetching *fetching = context_fetching_begin(question, ret_failure, err);
    int64_t next_ms = 0;
    while (!context_fetching_go_on(fetching, &next_ms))
        http_client_block(context_fetching_client(fetching), next_ms, question->cancel);
    return context_fetching_end(&fetching, ret_prompt);
}
