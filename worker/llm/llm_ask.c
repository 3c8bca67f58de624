#include "llm/llm_ask.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "llm/finish_reason.h"
#include "llm/llm_request.h"
#include "llm/question.h"
#include "llm/refusal_words.h"
#include "llm/said_text.h"
#include "llm/stream_fold.h"
#include "telemetry/metrics.h"

#define HEDGE_UNKNOWN_MS 1000 /* hedge_after_ms = auto, while there are too few samples */

/* The state of a call while it is under way. */
struct call {
    char *body; /* owned */
    uint32_t began_under;
    int64_t started_us; /* 0: it never began */
    bool slot; /* may_start took a slot that no call uses yet */
};

struct llm_asking {
    const struct llm_question *question;
    struct question *steps;
    struct llm_exchange exchange;
    enum http_event stopped; /* HTTP_CANCELLED, HTTP_BROKEN; else HTTP_ENDED */
    size_t pending;          /* the provider whose permit is asked for; QUESTION_NOBODY: none */
    enum status status;      /* with over */
    bool over;
    struct llm_outcome *outcome;
    struct llm_answer *answer;
    struct error *err;
    struct call calls[]; /* by index of settings.providers */
};

/* ---- deltas ---- */

static void tell(struct llm_asking *a, int64_t try, const struct stream_news *news, bool final)
{
    struct llm_delta delta = {.try = try, .final = final};
    if (news->size[STREAM_CHANNEL_TEXT] > 0) {
        delta.text = news->text[STREAM_CHANNEL_TEXT];
        delta.text_size = news->size[STREAM_CHANNEL_TEXT];
    }
    if (news->size[STREAM_CHANNEL_REASONING] > 0) {
        delta.reasoning = news->text[STREAM_CHANNEL_REASONING];
        delta.reasoning_size = news->size[STREAM_CHANNEL_REASONING];
    }
    if (delta.text != NULL || delta.reasoning != NULL || final)
        a->question->on_delta(&delta, a->question->arg);
}

static void on_text(size_t provider, void *arg)
{
    struct llm_asking *a = arg;
    struct stream_news news;
    int64_t try;
    if (!question_text(a->steps, provider, &try))
        return;
    llm_exchange_news(&a->exchange, provider, &news);
    tell(a, try, &news, false);
}

/* A whole answer where deltas are wanted becomes one delta. */
static void tell_whole(struct llm_asking *a, int64_t try)
{
    struct text_buffer text = {0}, reasoning = {0};
    said_text_of_message(a->answer->message, &text, &reasoning);
    struct stream_news news = {.text = {text_buffer_text(&text), text_buffer_text(&reasoning)}, .size = {text.size, reasoning.size}};
    tell(a, try, &news, false);
    text_buffer_finish(&text);
    text_buffer_finish(&reasoning);
}

/* The rest of the winner's answer, or all of it if another's stream was published. */
static void tell_the_rest(struct llm_asking *a, const struct question_outcome *end)
{
    struct stream_news news;
    if (llm_exchange_is_streamed(&a->exchange, end->winner)) {
        llm_exchange_news(&a->exchange, end->winner, &news);
        tell(a, end->final_try, &news, false);
    } else {
        tell_whole(a, end->final_try);
    }
    tell(a, end->final_try, &(struct stream_news){0}, true);
}

/* ---- how calls ended ---- */

/* Appended in the order of question.h's numbers of ends. */
static struct llm_tried *note(struct llm_asking *a, size_t provider)
{
    struct llm_outcome *outcome = a->outcome;
    int64_t started_us = a->calls[provider].started_us;
    if (outcome->tried == NULL)
        outcome->tried = xcalloc(a->question->settings->provider_count + 1, sizeof *outcome->tried); /* one provider is asked twice at most */
    assert(outcome->tried_count <= a->question->settings->provider_count);
    struct llm_tried *tried = &outcome->tried[outcome->tried_count++];
    *tried = (struct llm_tried){.provider = provider, .failure = {.retry_after_ms = -1, .should_retry = -1},
                                .usage = {-1, -1, -1}, .took_us = started_us != 0 ? clock_mono_us() - started_us : -1};
    return tried;
}

static void note_failure(struct llm_tried *tried, const struct error *why)
{
    tried->end = TRIED_FAILED;
    tried->error = xcalloc(1, sizeof *tried->error);
    *tried->error = *why;
}

static void tell_end(struct llm_asking *a, size_t provider, enum call_end end, int64_t first_ms, int64_t tokens)
{
    int64_t took_ms = (clock_mono_us() - a->calls[provider].started_us) / 1000;
    a->outcome->limit_changed |= provider_slots_ended(a->question->slots, provider, a->calls[provider].began_under, end);
    provider_times_ended(a->question->times, provider, end, first_ms, took_ms, tokens);
}

/* ---- what an end means ---- */

bool llm_failure_is_fatal(const struct llm_failure *failure, const struct error *err)
{
    if (err->class == ERROR_CANCELLED || failure->kind == FAILURE_TOO_LONG)
        return true;
    return err->class == ERROR_PERMANENT && failure_is_the_questions(failure->kind) && !failure->unexplained;
}

static enum question_verdict verdict_of(const struct llm_failure *failure, const struct error *err)
{
    if (failure->kind == FAILURE_CONTENT)
        return QUESTION_CONTENT_REFUSED;
    if (failure->kind == FAILURE_TOO_LONG)
        return QUESTION_TOO_LONG;
    if (failure->unexplained && err->class == ERROR_PERMANENT) /* else x-should-retry made it retriable */
        return QUESTION_UNEXPLAINED;
    return llm_failure_is_fatal(failure, err) ? QUESTION_FATAL : QUESTION_FAILED;
}

static void take_failure(struct llm_asking *a, size_t provider, struct llm_tried *tried, const struct error *why)
{
    const struct llm_question *question = a->question;
    struct question_end end = {.verdict = verdict_of(&tried->failure, why), .class = why->class};
    METRIC_INC(llm_call_failures_total);
    if (tried->failure.may_be_quoted && tried->failure.evidence != NULL) /* a request without these words can't have been quoted */
        tried->failure.may_be_quoted = refusal_words_are_in(a->calls[provider].body, tried->failure.evidence);
    if (end.verdict == QUESTION_TOO_LONG)
        end.skip = question->skip(&tried->failure, strlen(a->calls[provider].body), question->arg);
    note_failure(tried, why);
    tried->said = steal_ptr(&a->exchange.said);
    (void)question_ended(a->steps, provider, &end);
}

static void take_answer(struct llm_asking *a, size_t provider, struct llm_tried *tried, struct llm_answer *answer)
{
    enum finish finish = finish_reason_look(answer->finish_reason);
    struct question_end end = {.verdict = finish == FINISH_CONTENT ? QUESTION_FILTERED : QUESTION_GOOD, .class = ERROR_PERMANENT};
    METRIC_ADD(llm_finish_unknown_total, finish == FINISH_UNKNOWN);
    tried->usage = answer->usage;
    if (question_ended(a->steps, provider, &end)) {
        tried->end = TRIED_GOOD;
        *a->answer = *answer;
        return;
    }
    struct error why = {0};
    error_set(&why, ERROR_PERMANENT, "content_filter", "the provider's content filter refused the answer");
    note_failure(tried, &why);
    llm_answer_finish(answer);
}

static void take_end(struct llm_asking *a, size_t provider)
{
    struct llm_answer answer = {0};
    struct error why = {0};
    struct llm_tried *tried = note(a, provider);
    int64_t first_ms = llm_exchange_first_ms(&a->exchange, provider);
    if (llm_exchange_read(&a->exchange, provider, &answer, &tried->failure, &why) == STATUS_OK) {
        tell_end(a, provider, CALL_GOOD, first_ms, answer.usage.completion_tokens);
        take_answer(a, provider, tried, &answer);
    } else {
        tell_end(a, provider, call_end_of(&tried->failure), first_ms, -1);
        take_failure(a, provider, tried, &why);
    }
}

/* ---- steps ---- */

static void give_slot_back(struct llm_asking *a, size_t provider)
{
    if (a->calls[provider].slot)
        provider_slots_give_back(a->question->slots, provider);
    a->calls[provider].slot = false;
}

static void answer_permit(struct llm_asking *a, size_t provider, bool given)
{
    a->calls[provider].slot = given && a->question->may_start != NULL;
    question_permit(a->steps, provider, given);
}

/* False: the answer will come later. */
static bool ask_permit(struct llm_asking *a, const struct question_step *step)
{
    const struct llm_question *question = a->question;
    struct call *call = &a->calls[step->provider];
    free(call->body);
    call->started_us = 0;
    call->body = question->encode(&question->settings->providers[step->provider], step->skipped, question->arg);
    enum llm_permit permit = question->may_start == NULL ? LLM_PERMIT_GIVEN : question->may_start(step->provider, call->body, question->arg);
    if (permit == LLM_PERMIT_PENDING)
        a->pending = step->provider;
    else
        answer_permit(a, step->provider, permit == LLM_PERMIT_GIVEN);
    return permit != LLM_PERMIT_PENDING;
}

static void start(struct llm_asking *a, const struct question_step *step)
{
    const struct llm_question *question = a->question;
    struct call *call = &a->calls[step->provider];
    struct error why = {0};
    call->started_us = clock_mono_us();
    METRIC_INC(llm_calls_total);
    METRIC_ADD(llm_fallbacks_total, step->fallback);
    bool streamed = llm_request_is_streamed(&question->settings->providers[step->provider], question->stream);
    if (llm_exchange_ask(&a->exchange, step->provider, call->body, question->until_ms, streamed, &why) == STATUS_OK) {
        call->began_under = provider_slots_started(question->slots, step->provider);
        provider_times_started(question->times, step->extra);
        call->slot = false; /* the call has it now */
    } else {
        give_slot_back(a, step->provider);
        take_failure(a, step->provider, note(a, step->provider), &why);
    }
}

/* Cancels the call, so that the provider stops generating. */
static void drop(struct llm_asking *a, size_t provider)
{
    int64_t first_ms = llm_exchange_first_ms(&a->exchange, provider);
    llm_exchange_drop(&a->exchange, provider);
    tell_end(a, provider, CALL_DROPPED, first_ms, -1);
    METRIC_INC(llm_calls_dropped_total);
    METRIC_ADD(llm_calls_dropped_request_bytes_total, (int64_t)strlen(a->calls[provider].body));
    note(a, provider)->end = TRIED_DROPPED;
}

/* False: nothing has happened yet. */
static bool take_event(struct llm_asking *a, int64_t until_ms, int64_t *ret_next_ms)
{
    size_t provider = 0;
    enum http_event event = llm_exchange_look(&a->exchange, until_ms, &provider, ret_next_ms);
    switch (event) {
    case HTTP_WAITING: return false;
    case HTTP_ENDED: take_end(a, provider); break;
    case HTTP_TIME: break;
    case HTTP_CANCELLED:
    case HTTP_BROKEN:
        a->stopped = event;
        question_cancel(a->steps);
    }
    return true;
}

static bool may_hedge(struct llm_asking *a)
{
    bool may = provider_times_may_hedge(a->question->times);
    METRIC_ADD(llm_hedges_total, may);
    METRIC_ADD(llm_hedges_denied_total, !may);
    return may;
}

/* ---- the whole ---- */

static enum status conclude_won(struct llm_asking *a)
{
    struct question_outcome end = question_outcome(a->steps);
    a->outcome->reported = end.reported;
    a->outcome->skipped = end.skipped;
    a->outcome->alone = end.alone;
    if (a->question->stream)
        tell_the_rest(a, &end);
    return STATUS_OK;
}

static enum status conclude_lost(struct llm_asking *a)
{
    struct llm_outcome *outcome = a->outcome;
    struct question_outcome end = question_outcome(a->steps);
    const char *name = a->question->settings->providers[a->question->candidates[0]].name;
    if (a->stopped == HTTP_CANCELLED)
        return error_set(a->err, ERROR_CANCELLED, "cancelled", "provider %s: cut short", name);
    if (a->stopped == HTTP_BROKEN)
        return error_set(a->err, ERROR_RETRIABLE, "connection_lost", "provider %s: libcurl can't go on with the call", name);
    outcome->held_up = end.held_up;
    outcome->held_up_provider = end.held_up_provider;
    outcome->held_up_skipped = end.held_up_skipped;
    outcome->held_up_alone = end.held_up_alone;
    if (end.reported == QUESTION_NOBODY)
        return error_set(a->err, ERROR_UNAVAILABLE, "rate_limited", "provider %s: no permit to ask it now", name);
    outcome->reported = end.reported;
    *a->err = *outcome->tried[end.reported].error;
    return STATUS_FAILED;
}

static size_t index_of(const struct settings *settings, const char *name)
{
    for (size_t i = 0; name != NULL && i < settings->provider_count; i++)
        if (strcmp(settings->providers[i].name, name) == 0)
            return i;
    return QUESTION_NOBODY;
}

static struct question *plan(const struct llm_question *question)
{
    const struct settings *settings = question->settings;
    struct question_plan steps = {.strategy = settings->llm.strategy,
                                  .hedge_after_ms = settings->llm.hedge_after_ms,
                                  .provider_count = settings->provider_count,
                                  .candidates = question->candidates,
                                  .count = question->count,
                                  .overflow_provider = index_of(settings, settings->llm.overflow_provider),
                                  .filter_provider = index_of(settings, settings->llm.filter_provider),
                                  .turn_count = question->turn_count,
                                  .skipped = question->skipped < question->turn_count ? question->skipped : question->turn_count,
                                  .alone = question->alone,
                                  .refused = question->refused};
    if (steps.hedge_after_ms == HEDGE_AUTO)
        steps.hedge_after_ms = provider_times_hedge_after_ms(question->times, question->candidates[0], HEDGE_UNKNOWN_MS);
    return question_create(&steps);
}

static enum status begin(struct llm_asking *a)
{
    const struct llm_question *question = a->question;
    if (question->until_ms <= clock_mono_ms()) {
        error_set(a->err, ERROR_RETRIABLE, "timeout", "provider %s: no time left to ask", question->settings->providers[question->candidates[0]].name);
        note_failure(note(a, question->candidates[0]), a->err);
        return STATUS_FAILED;
    }
    if (llm_exchange_begin(question->client, question->pool, question->cancel, &a->exchange, a->err) != STATUS_OK) {
        note_failure(note(a, question->candidates[0]), a->err);
        return STATUS_FAILED;
    }
    a->exchange.on_text = question->stream ? on_text : NULL;
    a->exchange.on_text_arg = a;
    a->steps = plan(question);
    return STATUS_OK;
}

struct llm_asking *llm_asking_begin(const struct llm_question *question, struct llm_answer *ret_answer, struct llm_outcome *ret, struct error *err)
{
    struct llm_asking *a = xcalloc(1, sizeof *a + question->settings->provider_count * sizeof a->calls[0]);
    *a = (struct llm_asking){.question = question, .stopped = HTTP_ENDED, .pending = QUESTION_NOBODY, .outcome = ret, .answer = ret_answer, .err = err};
    *ret = (struct llm_outcome){.refused = question->refused};
    a->status = begin(a);
    a->over = a->status != STATUS_OK;
    return a;
}

static enum llm_asking_state over(struct llm_asking *a, enum status status)
{
    a->over = true;
    a->status = status;
    return LLM_ASKING_OVER;
}

enum llm_asking_state llm_asking_go_on(struct llm_asking *a, int64_t *ret_next_ms)
{
    if (a->over)
        return LLM_ASKING_OVER;
    for (;;) {
        struct question_step step = question_next(a->steps, clock_mono_ms());
        switch (step.action) {
        case QUESTION_PERMIT:
            if (!ask_permit(a, &step))
                return LLM_ASKING_PERMIT;
            break;
        case QUESTION_START: start(a, &step); break;
        case QUESTION_HEDGE: question_hedge(a->steps, may_hedge(a)); break;
        case QUESTION_DROP:
            if (step.running)
                drop(a, step.provider);
            else
                give_slot_back(a, step.provider);
            break;
        case QUESTION_WAIT:
            if (!take_event(a, step.until_ms, ret_next_ms))
                return LLM_ASKING_WAITING;
            break;
        case QUESTION_WON: return over(a, conclude_won(a));
        case QUESTION_LOST: return over(a, conclude_lost(a));
        }
    }
}

void llm_asking_permit(struct llm_asking *a, bool given)
{
    size_t provider = a->pending;
    assert(provider != QUESTION_NOBODY);
    a->pending = QUESTION_NOBODY;
    answer_permit(a, provider, given);
}

struct http_client *llm_asking_client(struct llm_asking *a)
{
    return a->exchange.http;
}

enum status llm_asking_end(struct llm_asking **asking)
{
    struct llm_asking *a = steal_ptr(asking);
    enum status status = a->status;
    size_t count = a->question->settings->provider_count;
    assert(a->over);
    for (size_t i = 0; i < count; i++) {
        give_slot_back(a, i);
        free(a->calls[i].body);
    }
    if (a->steps != NULL) {
        a->outcome->refused = question_outcome(a->steps).refused;
        question_destroy(a->steps);
        llm_exchange_end(&a->exchange);
    }
    free(a);
    return status;
}

enum status llm_ask(const struct llm_question *question, struct llm_answer *ret_answer, struct llm_outcome *ret, struct error *err)
{
    struct llm_asking *asking = llm_asking_begin(question, ret_answer, ret, err);
    int64_t next_ms = 0;
    for (enum llm_asking_state state; (state = llm_asking_go_on(asking, &next_ms)) != LLM_ASKING_OVER;)
        if (state == LLM_ASKING_PERMIT)
            llm_asking_permit(asking, question->await_permit(question->arg));
        else
            http_client_block(llm_asking_client(asking), next_ms, question->cancel);
    return llm_asking_end(&asking);
}

void llm_outcome_finish(struct llm_outcome *outcome)
{
    for (size_t i = 0; i < outcome->tried_count; i++) {
        free(outcome->tried[i].error);
        free(outcome->tried[i].said);
    }
    free(outcome->tried);
    *outcome = (struct llm_outcome){0};
}
