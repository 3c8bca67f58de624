#include "llm/llm_ask.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/cleanup.h"
#include "llm/call_policy.h"
#include "ops/metrics.h"

#define NOBODY SIZE_MAX
#define HEDGE_UNKNOWN_MS 1000 /* auto: while too few answers are known */

/* One provider's part in a question. */
struct asked {
    bool running, was_asked;
    bool shortened; /* its history was cut already */
    char *body;     /* owned; lives as long as the call */
    uint32_t began_under;
    int64_t started_us;
};

struct asking {
    const struct llm_question *question;
    struct llm_talk talk;
    struct call_policy policy;
    struct llm_outcome *outcome;
    bool goes_on_later; /* what was held up is a second call, after an end that would be the question's */
    struct llm_answer *answer;
    struct error *err;

    /* Of a stream: whose text goes out, and how much of it has. */
    size_t speaker; /* NOBODY: none */
    int64_t try;
    size_t text_told, reasoning_told;

    struct asked asked[]; /* by index of settings.providers */
};

/* ---- pieces ---- */

static void tell(struct asking *a, const char *text, size_t text_size, const char *reasoning, size_t reasoning_size, bool final)
{
    struct llm_piece piece = {.try = a->try, .text = text_size > 0 ? text : NULL, .text_size = text_size,
                              .reasoning = reasoning_size > 0 ? reasoning : NULL, .reasoning_size = reasoning_size, .final = final};
    if (text_size > 0 || reasoning_size > 0 || final)
        a->question->on_piece(&piece, a->question->arg);
}

static void speak(struct asking *a, size_t provider)
{
    a->speaker = provider;
    a->try++;
    a->text_told = a->reasoning_told = 0;
}

/* Of several that answer at once, the first to say something is heard until it fails; then another's text from its beginning. */
static void on_text(size_t provider, void *arg)
{
    struct asking *a = arg;
    size_t text_size, reasoning_size;
    const char *text = llm_talk_content(&a->talk, provider, &text_size);
    const char *reasoning = llm_talk_reasoning(&a->talk, provider, &reasoning_size);
    if (text_size + reasoning_size == 0 || (a->speaker != NOBODY && a->speaker != provider))
        return;
    if (a->speaker == NOBODY)
        speak(a, provider);
    tell(a, text + a->text_told, text_size - a->text_told, reasoning + a->reasoning_told, reasoning_size - a->reasoning_told, false);
    a->text_told = text_size;
    a->reasoning_told = reasoning_size;
}

/* The winner's answer, whoever was heard: also one that came whole though a stream was asked for. */
static void tell_the_rest(struct asking *a, size_t winner)
{
    const json_t *content = json_object_get(a->answer->message, "content");
    if (a->speaker != winner) {
        speak(a, winner);
        tell(a, json_string_value(content), json_string_length(content), NULL, 0, false);
    }
    tell(a, NULL, 0, NULL, 0, true);
}

/* ---- one call's begin and end ---- */

static struct llm_tried *note(struct asking *a, size_t provider)
{
    struct llm_outcome *outcome = a->outcome;
    int64_t started_us = a->asked[provider].started_us;
    size_t tried_max = 2 * a->question->settings->provider_count; /* each once more, shortened */
    if (outcome->tried == NULL)
        outcome->tried = xcalloc(tried_max, sizeof *outcome->tried);
    struct llm_tried *tried = &outcome->tried[outcome->tried_count < tried_max ? outcome->tried_count++ : tried_max - 1];
    free(tried->error);
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

static void note_held_up(struct asking *a, size_t provider, size_t skipped, bool goes_on)
{
    struct llm_outcome *outcome = a->outcome;
    if (outcome->held_up && !goes_on) /* the first is the most preferred */
        return;
    outcome->held_up = true;
    outcome->held_up_provider = provider;
    outcome->held_up_skipped = skipped;
    a->goes_on_later = goes_on;
}

/* AGAIN: it may not start now. */
static enum status start(struct asking *a, size_t provider, size_t skipped, bool extra)
{
    const struct llm_question *question = a->question;
    struct asked *asked = &a->asked[provider];
    struct error why = {0};
    free(asked->body);
    asked->body = question->encode(&question->settings->providers[provider], skipped, question->arg);
    if (question->may_start != NULL && !question->may_start(provider, asked->body, question->arg))
        return STATUS_AGAIN;
    asked->started_us = clock_mono_us();
    METRIC_INC(llm_calls_total);
    if (llm_talk_ask(&a->talk, provider, asked->body, question->until_ms, question->stream, &why) != STATUS_OK) {
        METRIC_INC(llm_call_failures_total);
        note_failure(note(a, provider), &why);
        return STATUS_FAILED;
    }
    asked->running = asked->was_asked = true;
    asked->began_under = provider_health_started(question->health, provider, extra);
    return STATUS_OK;
}

static void tell_health(struct asking *a, size_t provider, enum health_end end, int64_t first_ms, int64_t tokens)
{
    int64_t took_ms = (clock_mono_us() - a->asked[provider].started_us) / 1000;
    a->asked[provider].running = false;
    a->outcome->limit_changed |=
        provider_health_ended(a->question->health, provider, a->asked[provider].began_under, end, first_ms, took_ms, tokens);
}

/* What still runs is cut short: whoever generates for nobody stops. */
static void drop_running(struct asking *a)
{
    for (size_t i = 0; i < a->question->settings->provider_count; i++) {
        if (!a->asked[i].running)
            continue;
        int64_t first_ms = llm_talk_first_ms(&a->talk, i);
        llm_talk_drop(&a->talk, i);
        tell_health(a, i, HEALTH_DROPPED, first_ms, -1);
        METRIC_INC(llm_calls_dropped_total);
        METRIC_ADD(llm_calls_dropped_request_bytes_total, (int64_t)strlen(a->asked[i].body));
        note(a, i)->end = TRIED_DROPPED;
    }
}

/* ---- what an end means ---- */

static bool is_about_the_provider(int status)
{
    return status == 401 || status == 402 || status == 403 || status == 404 || status == 405 || (status >= 300 && status < 400);
}

bool llm_failure_is_fatal(const struct llm_failure *failure, const struct error *err)
{
    if (err->class == ERROR_CANCELLED || failure->context_overflow)
        return true;
    return err->class == ERROR_PERMANENT && !failure->billing && failure->http_status >= 400 && !is_about_the_provider(failure->http_status);
}

static bool is_filtered(const struct llm_answer *answer, const struct error *err)
{
    return err == NULL ? answer->finish_reason != NULL && strcmp(answer->finish_reason, "content_filter") == 0
                       : strcmp(err->code, "content_filter") == 0;
}

/* The provider that a setting names for such a failure, unless it was asked. */
static size_t fallback_of(const struct asking *a, const char *name)
{
    const struct settings *settings = a->question->settings;
    for (size_t i = 0; name != NULL && i < settings->provider_count; i++)
        if (strcmp(settings->providers[i].name, name) == 0)
            return a->asked[i].was_asked ? NOBODY : i;
    return NOBODY;
}

/* A second call in the place of one that has ended. AGAIN: when it may start, that goes before the first's end. */
static enum status start_instead(struct asking *a, size_t provider, size_t skipped)
{
    enum status status = start(a, provider, skipped, true);
    if (status == STATUS_AGAIN)
        note_held_up(a, provider, skipped, true);
    return status;
}

/* Stands in for the call that has just ended: to the policy that one goes on (OK). */
static enum status goes_on(struct asking *a, size_t provider, const struct llm_failure *failure, const struct error *err, bool filtered)
{
    const struct llm_question *question = a->question;
    struct asked *asked = &a->asked[provider];
    if (err != NULL && failure->context_overflow && !asked->shortened) {
        size_t skipped = question->skip(failure, strlen(asked->body), question->arg);
        asked->shortened = true;
        if (skipped > 0)
            return start_instead(a, provider, skipped);
    }
    size_t other = NOBODY;
    if (err != NULL && failure->context_overflow)
        other = fallback_of(a, question->settings->llm.overflow_provider);
    else if (filtered)
        other = fallback_of(a, question->settings->llm.filter_provider);
    if (other == NOBODY)
        return STATUS_FAILED;
    enum status status = start_instead(a, other, 0);
    METRIC_ADD(llm_fallbacks_total, status != STATUS_AGAIN);
    return status;
}

/* Not inlined: what it needs would stand on the stack of each thread that waits. */
__attribute__((noinline)) static void take_end(struct asking *a, size_t provider)
{
    struct llm_answer answer = {0};
    struct error why = {0};
    struct llm_tried *tried = note(a, provider);
    int64_t first_ms = llm_talk_first_ms(&a->talk, provider);
    enum status status = llm_talk_read(&a->talk, provider, &answer, &tried->failure, &why);
    if (status == STATUS_OK) {
        tell_health(a, provider, HEALTH_GOOD, first_ms, answer.usage.completion_tokens);
        tried->usage = answer.usage;
        enum status next = is_filtered(&answer, NULL) ? goes_on(a, provider, &tried->failure, NULL, true) : STATUS_FAILED;
        if (next != STATUS_FAILED) {
            error_set(&why, ERROR_PERMANENT, "content_filter", "the provider's content filter refused the answer");
            note_failure(tried, &why);
            llm_answer_finish(&answer);
            if (a->speaker == provider)
                a->speaker = NOBODY;
            if (next == STATUS_AGAIN)
                call_policy_ended(&a->policy, CALL_FATAL);
            return;
        }
        tried->end = TRIED_GOOD;
        *a->answer = answer;
        call_policy_ended(&a->policy, CALL_GOOD);
        return;
    }
    METRIC_INC(llm_call_failures_total);
    tell_health(a, provider, health_end_of(&tried->failure), first_ms, -1);
    if (a->speaker == provider)
        a->speaker = NOBODY;
    note_failure(tried, &why);
    if (goes_on(a, provider, &tried->failure, &why, is_filtered(NULL, &why)) != STATUS_OK)
        call_policy_ended(&a->policy, llm_failure_is_fatal(&tried->failure, &why) ? CALL_FATAL : CALL_FAILED);
}

/* ---- the whole ---- */

/* Which failure is the question's. One that counts as an attempt goes before one that doesn't, or a job that always fails
 * at one provider would wait for ever for another; both before one that ends the job. A fatal one came last. */
static size_t most_hopeful(const struct llm_outcome *outcome)
{
    static const int hope[] = {[ERROR_RETRIABLE] = 3, [ERROR_UNAVAILABLE] = 2, [ERROR_PERMANENT] = 1, [ERROR_FATAL] = 0};
    size_t best = NOBODY;
    for (size_t i = 0; i < outcome->tried_count; i++) {
        const struct llm_tried *tried = &outcome->tried[i];
        if (tried->end != TRIED_FAILED)
            continue;
        if (llm_failure_is_fatal(&tried->failure, tried->error))
            return i;
        if (best == NOBODY || hope[tried->error->class] > hope[outcome->tried[best].error->class])
            best = i;
    }
    return best;
}

static bool may_hedge(void *arg)
{
    struct asking *a = arg;
    bool may = provider_health_may_hedge(a->question->health);
    METRIC_ADD(llm_hedges_total, may);
    METRIC_ADD(llm_hedges_denied_total, !may);
    return may;
}

static enum status conclude(struct asking *a, enum http_event event)
{
    struct llm_outcome *outcome = a->outcome;
    bool good = a->policy.won;
    for (size_t i = 0; good && i < outcome->tried_count; i++)
        if (outcome->tried[i].end == TRIED_GOOD)
            outcome->told = i;
    drop_running(a);
    if (good && a->question->stream)
        tell_the_rest(a, outcome->tried[outcome->told].provider);
    if (good)
        return STATUS_OK;
    const char *name = a->question->settings->providers[a->question->candidates[0]].name;
    if (event == HTTP_CANCELLED)
        return error_set(a->err, ERROR_CANCELLED, "cancelled", "provider %s: cut short", name);
    if (event == HTTP_BROKEN)
        return error_set(a->err, ERROR_RETRIABLE, "connection_lost", "provider %s: libcurl can't go on with the call", name);
    if (outcome->tried_count == 0)
        return error_set(a->err, ERROR_UNAVAILABLE, "rate_limited", "provider %s: no permit to ask it now", name);
    outcome->told = most_hopeful(outcome);
    const struct llm_tried *told = &outcome->tried[outcome->told];
    outcome->held_up = outcome->held_up && (a->goes_on_later || !llm_failure_is_fatal(&told->failure, told->error));
    *a->err = *told->error;
    return STATUS_FAILED;
}

static enum status start_candidate(struct asking *a, size_t provider, bool first)
{
    size_t skipped = first ? a->question->skipped : 0;
    if (skipped > 0)
        a->asked[provider].shortened = true;
    bool extra = a->policy.running > 1 || a->outcome->tried_count > 0; /* those held up were no calls */
    enum status status = start(a, provider, skipped, extra);
    if (status == STATUS_AGAIN)
        note_held_up(a, provider, skipped, false);
    return status;
}

static enum status drive(struct asking *a)
{
    const struct llm_question *question = a->question;
    size_t candidate = 0, provider = 0;
    int64_t until_ms = 0;
    for (bool first = true;; first = false) {
        switch (call_policy_next(&a->policy, clock_mono_ms(), may_hedge, a, &candidate, &until_ms)) {
        case CALL_START:
            if (start_candidate(a, question->candidates[candidate], first) != STATUS_OK)
                call_policy_ended(&a->policy, CALL_FAILED);
            break;
        case CALL_WAIT: {
            enum http_event event = llm_talk_wait(&a->talk, until_ms, &provider);
            if (event == HTTP_ENDED)
                take_end(a, provider);
            else if (event != HTTP_TIME)
                return conclude(a, event);
            break;
        }
        case CALL_WON:
        case CALL_LOST: return conclude(a, HTTP_ENDED);
        }
    }
}

static enum status talk(struct asking *a)
{
    const struct llm_question *question = a->question;
    const struct settings *settings = question->settings;
    if (question->until_ms <= clock_mono_ms()) {
        error_set(a->err, ERROR_RETRIABLE, "timeout", "provider %s: no time left to ask", settings->providers[question->candidates[0]].name);
        note_failure(note(a, question->candidates[0]), a->err);
        return STATUS_FAILED;
    }
    if (llm_talk_begin(question->client, question->cancel, &a->talk, a->err) != STATUS_OK) {
        note_failure(note(a, question->candidates[0]), a->err);
        return STATUS_FAILED;
    }
    a->talk.on_text = on_text;
    a->talk.on_text_arg = a;
    int64_t hedge_after_ms = settings->llm.hedge_after_ms;
    if (hedge_after_ms == HEDGE_AUTO)
        hedge_after_ms = provider_health_hedge_after_ms(question->health, question->candidates[0], HEDGE_UNKNOWN_MS);
    call_policy_init(&a->policy, settings->llm.strategy, question->count, hedge_after_ms);
    enum status status = drive(a);
    llm_talk_end(&a->talk);
    return status;
}

enum status llm_ask(const struct llm_question *question, struct llm_answer *ret_answer, struct llm_outcome *ret, struct error *err)
{
    size_t count = question->settings->provider_count;
    AUTO_FREE struct asking *a = xcalloc(1, sizeof *a + count * sizeof a->asked[0]);
    *a = (struct asking){.question = question, .outcome = ret, .answer = ret_answer, .err = err, .speaker = NOBODY, .try = -1};
    *ret = (struct llm_outcome){0};
    enum status status = talk(a);
    for (size_t i = 0; i < count; i++)
        free(a->asked[i].body);
    return status;
}

void llm_outcome_finish(struct llm_outcome *outcome)
{
    for (size_t i = 0; i < outcome->tried_count; i++)
        free(outcome->tried[i].error);
    free(outcome->tried);
    *outcome = (struct llm_outcome){0};
}
