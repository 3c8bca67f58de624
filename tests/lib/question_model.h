/* A question (llm/question.h) driven by bytes: they choose the strategy, the providers and the fallbacks, and then the events, in
 * any order. A plain model beside it checks which steps may follow: for the fuzz target, and for tests by seed.
 * Each call streams through a fold of its own (llm/stream_fold.h), as in the worker. */
#ifndef CHAT_TESTS_QUESTION_MODEL_H
#define CHAT_TESTS_QUESTION_MODEL_H

#include <stdio.h>
#include <string.h>

#include "llm/question.h"
#include "llm/stream_fold.h"

#define MODEL_PROVIDERS 5
#define MODEL_EVENTS_MAX 400

enum model_place { MODEL_NEW, MODEL_ASKING, MODEL_GIVEN, MODEL_RUNS, MODEL_HELD, MODEL_OVER };

struct model_provider {
    enum model_place place;
    int calls;
    size_t skipped; /* of its latest permit */
    enum question_verdict last; /* how its latest call ended */
    size_t may_skip; /* how many turns that end allowed to omit */
    bool carried_history, candidate;
    bool owed; /* its repeat */
    struct stream_fold fold;
    struct text_buffer said[STREAM_CHANNELS]; /* of its latest call */
};

struct model_end {
    size_t provider;
    enum error_class class;
    bool dropped, fatal;
};

struct model {
    const uint8_t *data;
    size_t size, at;
    const char *why; /* the first assertion that failed; NULL: none */
    struct question *question;
    struct question_plan plan;
    size_t candidates[MODEL_PROVIDERS];
    struct model_provider providers[MODEL_PROVIDERS];
    struct model_end ends[2 * MODEL_PROVIDERS + 2];
    size_t end_count, calls;
    bool repeated, won, fatal, cancelled, closed;
    bool budget_said_yes;
    size_t good; /* the number of the accepted end */
    int64_t now_ms;
    /* The published text. */
    int64_t try;
    size_t source;
    struct text_buffer published[STREAM_CHANNELS];
};

#define MODEL_TEXT_OF(line) #line
#define MODEL_LINE(line) MODEL_TEXT_OF(line)
#define HOLDS(m, condition)                                                      \
    do {                                                                         \
        if ((m)->why == NULL && !(condition))                                    \
            (m)->why = "model line " MODEL_LINE(__LINE__) ": " #condition;       \
    } while (0)

static inline unsigned model_byte(struct model *m)
{
    return m->at < m->size ? m->data[m->at++] : 0;
}

static inline bool model_is_over(const struct model *m)
{
    return m->won || m->fatal || m->cancelled;
}

static inline size_t model_count(const struct model *m, enum model_place from, enum model_place to)
{
    size_t count = 0;
    for (size_t i = 0; i < m->plan.provider_count; i++)
        count += m->providers[i].place >= from && m->providers[i].place <= to;
    return count;
}

static inline size_t model_live(const struct model *m)
{
    return model_count(m, MODEL_ASKING, MODEL_RUNS);
}

static inline bool model_candidate_is_left(const struct model *m)
{
    for (size_t i = 0; i < m->plan.count; i++)
        if (m->providers[m->candidates[i]].place == MODEL_NEW && m->providers[m->candidates[i]].candidate)
            return true;
    return false;
}

/* Has every provider that may be asked refused the conversation, for an unknown reason? */
static inline bool model_all_unexplained(const struct model *m)
{
    size_t asked = 0;
    for (size_t i = 0; i < m->plan.provider_count; i++) {
        const struct model_provider *p = &m->providers[i];
        if (p->place == MODEL_NEW && !p->candidate)
            continue;
        if (p->place != MODEL_OVER || p->last != QUESTION_UNEXPLAINED || !p->carried_history)
            return false;
        asked++;
    }
    return asked > 0 && m->plan.turn_count > 0;
}

/* ---- steps ---- */

/* Why may this provider be asked? */
static inline void model_permit(struct model *m, const struct question_step *step)
{
    struct model_provider *p = &m->providers[step->provider];
    size_t first = m->candidates[0];
    HOLDS(m, !model_is_over(m));
    HOLDS(m, p->place == MODEL_NEW || p->place == MODEL_OVER);
    HOLDS(m, m->plan.strategy != STRATEGY_SEQUENTIAL || model_live(m) == 0);
    HOLDS(m, step->skipped <= m->plan.turn_count);
    if (p->place == MODEL_OVER) { /* again */
        bool shortened = p->last == QUESTION_TOO_LONG && p->may_skip > 0 && step->skipped == p->may_skip;
        bool alone = step->provider == first && step->skipped == m->plan.turn_count && model_live(m) == 0 && model_all_unexplained(m);
        HOLDS(m, p->calls == 1);
        HOLDS(m, p->owed ? shortened : alone && !m->repeated);
        m->repeated = true;
        p->owed = false;
    } else {
        bool fallback = false;
        for (size_t i = 0; i < m->end_count; i++) {
            const struct model_provider *other = &m->providers[m->ends[i].provider];
            bool content = other->last == QUESTION_FILTERED || other->last == QUESTION_CONTENT_REFUSED;
            fallback = fallback || (content && step->provider == m->plan.filter_provider) ||
                       (other->last == QUESTION_TOO_LONG && step->provider == m->plan.overflow_provider);
        }
        HOLDS(m, fallback || (p->candidate && !m->closed));
        if (!fallback)
            for (size_t i = 0; m->candidates[i] != step->provider; i++)
                HOLDS(m, m->providers[m->candidates[i]].place != MODEL_NEW); /* by preference */
        if (!fallback && m->plan.strategy == STRATEGY_HEDGE && model_live(m) > 0) {
            HOLDS(m, m->budget_said_yes);
            m->budget_said_yes = false;
        }
        HOLDS(m, step->skipped == (step->provider == first && !fallback ? m->plan.skipped : 0));
    }
    p->place = MODEL_ASKING;
    p->skipped = step->skipped;
}

static inline void model_start(struct model *m, const struct question_step *step)
{
    struct model_provider *p = &m->providers[step->provider];
    HOLDS(m, !model_is_over(m) && p->place == MODEL_GIVEN && step->skipped == p->skipped);
    HOLDS(m, step->extra == (model_live(m) > 1 || m->end_count > 0));
    p->place = MODEL_RUNS;
    p->calls++;
    p->carried_history = step->skipped < m->plan.turn_count;
    m->calls++;
    HOLDS(m, m->calls <= m->plan.provider_count + 1);
    stream_fold_finish(&p->fold);
    stream_fold_init(&p->fold, 1 << 20);
    for (int i = 0; i < STREAM_CHANNELS; i++)
        text_buffer_clear(&p->said[i]);
}

static inline void model_drop(struct model *m, const struct question_step *step)
{
    struct model_provider *p = &m->providers[step->provider];
    HOLDS(m, model_is_over(m));
    HOLDS(m, p->place >= MODEL_ASKING && p->place <= MODEL_RUNS);
    HOLDS(m, step->running == (p->place == MODEL_RUNS));
    if (step->running)
        m->ends[m->end_count++] = (struct model_end){.provider = step->provider, .dropped = true};
    p->place = MODEL_OVER;
}

/* ---- published text ---- */

static inline void model_tell(struct model *m, size_t provider, int64_t try, const struct stream_news *news)
{
    if (try != m->try) {
        HOLDS(m, try == m->try + 1);
        m->try = try;
        m->source = provider;
        for (int i = 0; i < STREAM_CHANNELS; i++)
            text_buffer_clear(&m->published[i]);
    }
    HOLDS(m, m->source == provider);
    for (int i = 0; i < STREAM_CHANNELS; i++)
        text_buffer_append(&m->published[i], news->text[i] != NULL ? news->text[i] : "", news->size[i]);
}

/* The published text of a try is its call's text, complete up to here. */
static inline void model_check_published(struct model *m)
{
    const struct model_provider *p = &m->providers[m->source];
    for (int i = 0; i < STREAM_CHANNELS; i++)
        HOLDS(m, m->published[i].size == p->said[i].size && memcmp(text_buffer_text(&m->published[i]), text_buffer_text(&p->said[i]), p->said[i].size) == 0);
}

static inline void model_text(struct model *m, size_t provider)
{
    struct model_provider *p = &m->providers[provider];
    unsigned what = model_byte(m);
    char text[3][8] = {"", "", ""}, chunk[128];
    int64_t try;
    for (size_t i = 0; i < 3; i++)
        if (what >> i & 1)
            snprintf(text[i], sizeof text[i], "%c%.*s", (int)('a' + model_byte(m) % 26), (int)(what >> 3) % 5, "wxyz");
    snprintf(chunk, sizeof chunk, "{\"choices\":[{\"delta\":{\"content\":\"%s\",\"reasoning_content\":\"%s\",\"reasoning\":\"%s\"}}]}", text[0],
             text[1], text[2]);
    HOLDS(m, stream_fold_event(&p->fold, &(struct sse_event){.name = "message", .data = chunk, .size = strlen(chunk)}));
    const char *reasoning = text[1][0] != '\0' ? text[1] : text[2];
    text_buffer_append(&p->said[STREAM_CHANNEL_TEXT], text[0], strlen(text[0]));
    text_buffer_append(&p->said[STREAM_CHANNEL_REASONING], reasoning, strlen(reasoning));
    if (!stream_fold_has_news(&p->fold))
        return;
    bool silent = m->try < 0 || m->providers[m->source].place != MODEL_RUNS;
    bool heard = question_text(m->question, provider, &try);
    HOLDS(m, !heard || !model_is_over(m));
    HOLDS(m, heard || !silent || model_is_over(m)); /* a stream is published */
    if (heard) {
        struct stream_news news;
        stream_fold_news(&p->fold, &news);
        model_tell(m, provider, try, &news);
        model_check_published(m);
    }
}

/* ---- ends ---- */

/* Does the fallback provider of a setting replace an ended call? */
static inline bool model_stands_in(const struct model *m, size_t provider, size_t ended)
{
    return provider != QUESTION_NOBODY && provider != ended && (m->providers[provider].place != MODEL_OVER || m->providers[provider].owed);
}

static inline void model_end_call(struct model *m, size_t provider)
{
    static const enum error_class classes[] = {ERROR_RETRIABLE, ERROR_UNAVAILABLE, ERROR_PERMANENT};
    struct model_provider *p = &m->providers[provider];
    struct question_end end = {.verdict = (enum question_verdict)(model_byte(m) % (QUESTION_FAILED + 1)), .class = classes[model_byte(m) % 3]};
    if (end.verdict == QUESTION_FILTERED)
        end.class = ERROR_PERMANENT;
    if (end.verdict == QUESTION_TOO_LONG && m->plan.turn_count > 0)
        end.skip = model_byte(m) % (m->plan.turn_count + 1);
    bool was_over = model_is_over(m);
    bool by_filter = model_stands_in(m, m->plan.filter_provider, provider);
    bool good = end.verdict == QUESTION_GOOD || (end.verdict == QUESTION_FILTERED && !by_filter);
    bool fatal = end.verdict == QUESTION_FATAL || (end.verdict == QUESTION_CONTENT_REFUSED && !by_filter);
    bool content = end.verdict == QUESTION_FILTERED || end.verdict == QUESTION_CONTENT_REFUSED;
    bool taken = question_ended(m->question, provider, &end);
    HOLDS(m, taken == (good && !was_over));
    m->ends[m->end_count++] = (struct model_end){.provider = provider, .class = end.class, .fatal = fatal && !was_over, .dropped = was_over};
    p->place = MODEL_OVER;
    p->last = end.verdict;
    p->may_skip = end.skip;
    if (was_over)
        return;
    p->owed = end.verdict == QUESTION_TOO_LONG && end.skip > 0 && !m->repeated;
    m->repeated = m->repeated || p->owed;
    m->closed = m->closed || (content && by_filter && m->providers[m->plan.filter_provider].place == MODEL_HELD);
    m->fatal = fatal;
    if (taken) {
        m->won = true;
        m->good = m->end_count - 1;
    }
}

static inline void model_answer_permit(struct model *m, size_t provider)
{
    struct model_provider *p = &m->providers[provider];
    bool given = model_byte(m) % 4 != 0;
    question_permit(m->question, provider, given);
    p->place = given ? MODEL_GIVEN : MODEL_HELD;
    for (size_t i = 0; !given && i < m->end_count; i++) {
        enum question_verdict last = m->providers[m->ends[i].provider].last;
        m->closed = m->closed || (provider == m->plan.filter_provider && (last == QUESTION_FILTERED || last == QUESTION_CONTENT_REFUSED));
    }
}

/* An event while the question waits, or, sometimes, before question_next. */
static inline void model_event(struct model *m)
{
    size_t at = model_byte(m) % m->plan.provider_count;
    unsigned what = model_byte(m);
    for (size_t i = 0; i < m->plan.provider_count; i++) { /* the first from there for which an event is possible */
        size_t provider = (at + i) % m->plan.provider_count;
        if (m->providers[provider].place == MODEL_ASKING) {
            model_answer_permit(m, provider);
            return;
        }
        if (m->providers[provider].place == MODEL_RUNS) {
            if (what % 16 == 15 && !model_is_over(m)) {
                m->cancelled = true;
                question_cancel(m->question);
            } else if (what % 2 == 0 || m->at >= m->size) {
                model_end_call(m, provider);
            } else {
                model_text(m, provider);
            }
            return;
        }
    }
}

/* ---- the whole ---- */

static inline size_t model_most_hopeful(const struct model *m)
{
    static const int hope[] = {[ERROR_RETRIABLE] = 3, [ERROR_UNAVAILABLE] = 2, [ERROR_PERMANENT] = 1};
    size_t best = QUESTION_NOBODY;
    for (size_t i = 0; i < m->end_count; i++) {
        if (m->ends[i].fatal)
            return i;
        if (!m->ends[i].dropped && (best == QUESTION_NOBODY || hope[m->ends[i].class] > hope[m->ends[best].class]))
            best = i;
    }
    return best;
}

static inline void model_won(struct model *m)
{
    struct question_outcome end = question_outcome(m->question);
    HOLDS(m, m->won && end.reported == m->good && end.winner == m->ends[m->good].provider);
    if (m->why != NULL)
        return;
    struct model_provider *p = &m->providers[end.winner];
    struct stream_news news;
    HOLDS(m, end.skipped == p->skipped);
    HOLDS(m, !end.alone || (p->calls == (m->plan.alone ? 1 : 2) && end.skipped == m->plan.turn_count));
    HOLDS(m, end.was_heard ? end.final_try == m->try && m->source == end.winner : end.final_try == m->try + 1);
    stream_fold_news(&p->fold, &news);
    model_tell(m, end.winner, end.final_try, &news);
    model_check_published(m); /* the whole answer, and nothing else */
}

static inline void model_lost(struct model *m)
{
    struct question_outcome end = question_outcome(m->question);
    HOLDS(m, !m->won);
    if (!m->fatal && !m->cancelled) {
        HOLDS(m, m->closed || !model_candidate_is_left(m));
        HOLDS(m, m->repeated || m->closed || m->plan.skipped > 0 || !model_all_unexplained(m));
        HOLDS(m, end.reported == model_most_hopeful(m));
        HOLDS(m, end.held_up == (model_count(m, MODEL_HELD, MODEL_HELD) > 0));
        HOLDS(m, !end.held_up || m->providers[end.held_up_provider].place == MODEL_HELD);
        HOLDS(m, !end.held_up || end.held_up_skipped == m->providers[end.held_up_provider].skipped);
    } else if (m->fatal) {
        HOLDS(m, end.reported == model_most_hopeful(m) && !end.held_up);
    }
}

static inline void model_wait(struct model *m, const struct question_step *step)
{
    HOLDS(m, !model_is_over(m));
    HOLDS(m, model_count(m, MODEL_ASKING, MODEL_ASKING) + model_count(m, MODEL_RUNS, MODEL_RUNS) > 0);
    HOLDS(m, model_count(m, MODEL_GIVEN, MODEL_GIVEN) == 0);
    HOLDS(m, m->plan.strategy != STRATEGY_RACE || m->closed || !model_candidate_is_left(m));
    HOLDS(m, step->until_ms > m->now_ms);
    HOLDS(m, step->until_ms == INT64_MAX || (m->plan.strategy == STRATEGY_HEDGE && model_candidate_is_left(m)));
    if (step->until_ms != INT64_MAX && model_byte(m) % 3 == 0)
        m->now_ms = step->until_ms;
    else
        model_event(m);
}

static inline bool model_step(struct model *m)
{
    struct question_step step = question_next(m->question, m->now_ms);
    if (step.action != QUESTION_WAIT && step.action != QUESTION_HEDGE && step.action < QUESTION_WON)
        HOLDS(m, step.provider < m->plan.provider_count);
    if (m->why != NULL)
        return false;
    switch (step.action) {
    case QUESTION_PERMIT: model_permit(m, &step); return true;
    case QUESTION_START: model_start(m, &step); return true;
    case QUESTION_HEDGE:
        HOLDS(m, m->plan.strategy == STRATEGY_HEDGE && model_live(m) > 0 && model_candidate_is_left(m));
        m->budget_said_yes = model_byte(m) % 2 == 0;
        question_hedge(m->question, m->budget_said_yes);
        return true;
    case QUESTION_DROP: model_drop(m, &step); return true;
    case QUESTION_WAIT: model_wait(m, &step); return true;
    case QUESTION_WON: model_won(m); break;
    case QUESTION_LOST: model_lost(m); break;
    }
    HOLDS(m, model_live(m) == 0);
    return false;
}

static inline void model_plan(struct model *m)
{
    unsigned shape = model_byte(m), fallbacks = model_byte(m), history = model_byte(m);
    struct question_plan *plan = &m->plan;
    plan->strategy = (enum strategy)(shape % 3);
    plan->provider_count = 1 + shape / 3 % MODEL_PROVIDERS;
    plan->count = 1 + shape / 16 % plan->provider_count;
    plan->hedge_after_ms = 1 + history % 7;
    plan->candidates = m->candidates;
    plan->overflow_provider = fallbacks % 8 < plan->provider_count ? fallbacks % 8 : QUESTION_NOBODY;
    plan->filter_provider = fallbacks / 8 % 8 < plan->provider_count ? fallbacks / 8 % 8 : QUESTION_NOBODY;
    plan->turn_count = history % 4;
    plan->skipped = history / 16 % 4 == 0 ? history / 64 % (plan->turn_count + 1) : 0;
    for (size_t i = 0; i < plan->count; i++) {
        m->candidates[i] = (i + shape / 64) % plan->provider_count;
        m->providers[m->candidates[i]].candidate = true;
    }
    m->repeated = plan->skipped > 0;
    plan->alone = m->repeated && plan->skipped == plan->turn_count && fallbacks / 64 % 2 == 1;
    plan->refused = (uint16_t)(history / 16 % 2 == 0 ? model_byte(m) % (1u << plan->provider_count) : 0);
    for (size_t i = m->repeated ? 1 : 0; i < plan->count; i++) {
        struct model_provider *p = &m->providers[m->candidates[i]];
        p->candidate = !plan->alone;
        if (plan->turn_count > 0 && (plan->refused & 1u << m->candidates[i]) != 0 && p->candidate)
            *p = (struct model_provider){.place = MODEL_OVER, .calls = 1, .last = QUESTION_UNEXPLAINED, .carried_history = true, .candidate = true};
    }
}

/* The failed assertion, or NULL. */
static inline const char *question_model_play(const uint8_t *data, size_t size)
{
    struct model m = {.data = data, .size = size, .try = -1};
    int events = 0;
    model_plan(&m);
    m.question = question_create(&m.plan);
    while (model_step(&m) && m.why == NULL) {
        HOLDS(&m, events++ < MODEL_EVENTS_MAX + (int)size);
        if (model_byte(&m) % 8 == 7) /* before question_next */
            model_event(&m);
    }
    question_destroy(m.question);
    for (size_t i = 0; i < MODEL_PROVIDERS; i++) {
        stream_fold_finish(&m.providers[i].fold);
        for (int c = 0; c < STREAM_CHANNELS; c++)
            text_buffer_finish(&m.providers[i].said[c]);
    }
    for (int c = 0; c < STREAM_CHANNELS; c++)
        text_buffer_finish(&m.published[c]);
    return m.why;
}

#endif
