#include "llm/question.h"

#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"

enum row_state {
    ROW_FREE,   /* may be asked */
    ROW_OWED,   /* to be asked next: a fallback, or the repeat */
    ROW_PERMIT, /* its permit is requested */
    ROW_ALLOWED, /* has its permit, to be started */
    ROW_RUNNING,
    ROW_HELD, /* got no permit */
    ROW_ENDED
};

/* The state of one provider. */
struct row {
    enum row_state state;
    size_t skipped;   /* turns that its request omits */
    bool instead;     /* it replaces a call that has ended: a fallback, or the repeat */
    bool unexplained; /* its call was refused for an unknown reason */
    bool for_content; /* asked because another provider refused the content */
};

struct question {
    struct question_plan plan;
    int64_t hedge_at_ms; /* when the next candidate is due while others run; INT64_MAX: never */
    enum { HEDGE_UNASKED, HEDGE_ASKED, HEDGE_ALLOWED } hedge;
    size_t live;    /* rows under way: OWED to RUNNING */
    size_t ends;    /* calls that ended by themselves */
    bool repeated;  /* the one repeat is used up */
    bool alone;     /* the repeat is without any history */
    bool closed;    /* no further candidate is asked */
    enum { OPEN, WON, LOST, FATAL, CANCELLED } verdict;
    size_t reported, winner;
    int reported_hope; /* -1: none reported yet */
    size_t source;
    int64_t try;
    struct row rows[];
};

static void take_refused(struct question *q)
{
    for (size_t i = q->repeated ? 1 : 0; i < q->plan.count; i++) {
        size_t provider = q->plan.candidates[i];
        if ((q->plan.refused & 1u << provider) == 0)
            continue;
        q->rows[provider].state = ROW_ENDED;
        q->rows[provider].unexplained = true;
    }
}

struct question *question_create(const struct question_plan *plan)
{
    struct question *q = xcalloc(1, sizeof *q + plan->provider_count * sizeof q->rows[0]);
    assert(plan->count > 0 && plan->count <= plan->provider_count);
    q->plan = *plan;
    q->hedge_at_ms = INT64_MAX;
    q->reported = q->winner = q->source = QUESTION_NOBODY;
    q->reported_hope = -1;
    q->try = -1;
    q->repeated = plan->skipped > 0;
    q->alone = plan->alone && q->repeated;
    if (q->alone)
        q->plan.count = 1;
    if (plan->turn_count > 0)
        take_refused(q);
    q->rows[plan->candidates[0]].skipped = plan->skipped;
    return q;
}

void question_destroy(struct question *q)
{
    free(q);
}

static bool is_live(const struct row *row)
{
    return row->state >= ROW_OWED && row->state <= ROW_RUNNING;
}

static struct row *row_of(struct question *q, size_t provider)
{
    assert(provider < q->plan.provider_count);
    return &q->rows[provider];
}

/* A row that was under way no longer is. */
static void leave(struct question *q, struct row *row, enum row_state state)
{
    assert(is_live(row) && q->live > 0);
    row->state = state;
    q->live--;
}

/* Makes a row the next to be asked, before any candidate. */
static void owe(struct question *q, struct row *row, size_t skipped)
{
    row->state = ROW_OWED;
    row->skipped = skipped;
    row->instead = true;
    row->unexplained = false;
    q->live++;
}

/* Is the row's request the repeat without any history? */
static bool is_alone(const struct question *q, const struct row *row)
{
    return q->alone && row->skipped == q->plan.turn_count;
}

/* ---- the next provider ---- */

static size_t first_in(const struct question *q, enum row_state state)
{
    for (size_t i = 0; q->live > 0 && i < q->plan.provider_count; i++)
        if (q->rows[i].state == state)
            return i;
    return QUESTION_NOBODY;
}

static size_t next_candidate(const struct question *q)
{
    for (size_t i = 0; !q->closed && i < q->plan.count; i++)
        if (q->rows[q->plan.candidates[i]].state == ROW_FREE)
            return q->plan.candidates[i];
    return QUESTION_NOBODY;
}

/* Has every provider that may be asked refused a request with history, for an unknown reason? */
static bool is_history_suspect(const struct question *q)
{
    if (q->repeated || q->plan.turn_count == 0)
        return false;
    for (size_t i = 0; i < q->plan.provider_count; i++) {
        const struct row *row = &q->rows[i];
        if (row->state != ROW_FREE && (row->state != ROW_ENDED || !row->unexplained))
            return false;
    }
    return true;
}

static struct question_step step_of(struct question *q, enum question_action action, size_t provider)
{
    const struct row *row = &q->rows[provider];
    return (struct question_step){.action = action,
                                  .provider = provider,
                                  .skipped = row->skipped,
                                  .extra = q->live > 1 || q->ends > 0,
                                  .fallback = row->instead && row->skipped == 0};
}

static struct question_step ask(struct question *q, size_t provider)
{
    q->rows[provider].state = ROW_PERMIT;
    return step_of(q, QUESTION_PERMIT, provider);
}

static struct question_step close_down(struct question *q)
{
    for (size_t i = 0; q->live > 0 && i < q->plan.provider_count; i++) {
        struct row *row = &q->rows[i];
        if (!is_live(row))
            continue;
        struct question_step step = step_of(q, QUESTION_DROP, i);
        bool owed = row->state == ROW_OWED; /* not even its permit was requested */
        step.running = row->state == ROW_RUNNING;
        leave(q, row, ROW_ENDED);
        if (!owed)
            return step;
    }
    return (struct question_step){.action = q->verdict == WON ? QUESTION_WON : QUESTION_LOST};
}

/* Is the next candidate due beside those under way? *ret_ask: only if the hedge budget allows. */
static bool is_due(struct question *q, int64_t now_ms, bool *ret_ask)
{
    *ret_ask = false;
    if (q->live == 0 || q->plan.strategy == STRATEGY_RACE)
        return true;
    if (q->plan.strategy != STRATEGY_HEDGE)
        return false;
    if (q->hedge == HEDGE_ALLOWED)
        return true;
    *ret_ask = q->hedge == HEDGE_UNASKED && now_ms >= q->hedge_at_ms;
    return false;
}

static struct question_step ask_candidate(struct question *q, size_t candidate, int64_t now_ms)
{
    q->live++;
    q->hedge = HEDGE_UNASKED;
    if (q->plan.strategy == STRATEGY_HEDGE)
        q->hedge_at_ms = now_ms + q->plan.hedge_after_ms;
    return ask(q, candidate);
}

struct question_step question_next(struct question *q, int64_t now_ms)
{
    size_t provider;
    bool ask_budget = false;
    if (q->verdict != OPEN)
        return close_down(q);
    if ((provider = first_in(q, ROW_ALLOWED)) != QUESTION_NOBODY) {
        q->rows[provider].state = ROW_RUNNING;
        return step_of(q, QUESTION_START, provider);
    }
    if ((provider = first_in(q, ROW_OWED)) != QUESTION_NOBODY)
        return ask(q, provider);
    size_t candidate = next_candidate(q);
    if (candidate != QUESTION_NOBODY && is_due(q, now_ms, &ask_budget))
        return ask_candidate(q, candidate, now_ms);
    if (candidate != QUESTION_NOBODY && ask_budget) {
        q->hedge = HEDGE_ASKED;
        return (struct question_step){.action = QUESTION_HEDGE};
    }
    if (q->live == 0 && is_history_suspect(q)) {
        q->repeated = q->alone = true;
        owe(q, &q->rows[q->plan.candidates[0]], q->plan.turn_count);
        return ask(q, q->plan.candidates[0]);
    }
    if (q->live == 0) {
        q->verdict = LOST;
        return close_down(q);
    }
    return (struct question_step){.action = QUESTION_WAIT, .until_ms = candidate != QUESTION_NOBODY ? q->hedge_at_ms : INT64_MAX};
}

/* ---- events ---- */

/* A call has failed: with `hedge` the next is due at once, if the budget allows or no call runs. */
static void let_next(struct question *q)
{
    if (q->plan.strategy == STRATEGY_HEDGE)
        q->hedge_at_ms = INT64_MIN;
}

void question_permit(struct question *q, size_t provider, bool given)
{
    struct row *row = row_of(q, provider);
    assert(row->state == ROW_PERMIT);
    if (given) {
        row->state = ROW_ALLOWED;
        return;
    }
    leave(q, row, ROW_HELD);
    q->closed = q->closed || row->for_content; /* after a refusal of the content only that provider may be asked */
    let_next(q);
}

void question_hedge(struct question *q, bool allowed)
{
    assert(q->hedge == HEDGE_ASKED);
    q->hedge = allowed ? HEDGE_ALLOWED : HEDGE_UNASKED;
    q->hedge_at_ms = INT64_MAX; /* the budget is asked once: a refusal is final */
}

void question_cancel(struct question *q)
{
    if (q->verdict == OPEN)
        q->verdict = CANCELLED;
}

/* The fallback provider for this kind of end is asked next, or is under way already. */
static bool take_over(struct question *q, size_t provider, bool for_content)
{
    if (provider == QUESTION_NOBODY)
        return false;
    struct row *row = row_of(q, provider);
    if (row->state == ROW_FREE) {
        owe(q, row, 0);
    } else if (row->state == ROW_HELD) {
        q->closed = q->closed || for_content;
        let_next(q);
    } else if (!is_live(row)) {
        return false;
    }
    row->instead = true;
    row->for_content = row->for_content || for_content;
    return true;
}

/* The consequence of a call's end; true: its answer is the question's. */
static bool judge(struct question *q, struct row *row, const struct question_end *end)
{
    switch (end->verdict) {
    case QUESTION_GOOD: q->verdict = WON; return true;
    case QUESTION_FILTERED:
        if (take_over(q, q->plan.filter_provider, true))
            return false;
        q->verdict = WON;
        return true;
    case QUESTION_CONTENT_REFUSED:
        if (!take_over(q, q->plan.filter_provider, true))
            q->verdict = FATAL;
        return false;
    case QUESTION_TOO_LONG:
        if (!q->repeated && end->skip > 0) {
            q->repeated = true;
            owe(q, row, end->skip);
        } else if (!take_over(q, q->plan.overflow_provider, false)) {
            let_next(q); /* the next provider's context may be larger */
        }
        return false;
    case QUESTION_FATAL: q->verdict = FATAL; return false;
    case QUESTION_UNEXPLAINED:
        row->unexplained = true;
        if (row->skipped == 0)
            q->plan.refused |= (uint16_t)(1u << (size_t)(row - q->rows));
        break;
    case QUESTION_FAILED: break;
    }
    let_next(q);
    return false;
}

/* A failure that counts as an attempt is preferred to one that doesn't, or a job that always fails at one provider would wait for
 * ever for another; both to one that ends the job. */
static int hope_of(const struct question *q, const struct question_end *end)
{
    if (q->verdict == FATAL)
        return 4; /* this end is final for the question */
    switch (end->class) {
    case ERROR_RETRIABLE: return 3;
    case ERROR_UNAVAILABLE: return 2;
    case ERROR_PERMANENT: return 1;
    default: return 0;
    }
}

bool question_ended(struct question *q, size_t provider, const struct question_end *end)
{
    struct row *row = row_of(q, provider);
    assert(row->state == ROW_RUNNING);
    size_t number = q->ends++;
    leave(q, row, ROW_ENDED);
    if (q->verdict != OPEN) /* it ended before its DROP */
        return false;
    if (judge(q, row, end)) {
        q->reported = number;
        q->winner = provider;
        return true;
    }
    if (hope_of(q, end) > q->reported_hope) {
        q->reported = number;
        q->reported_hope = hope_of(q, end);
    }
    if (q->source == provider)
        q->source = QUESTION_NOBODY;
    return false;
}

bool question_text(struct question *q, size_t provider, int64_t *ret_try)
{
    if (q->verdict != OPEN || row_of(q, provider)->state != ROW_RUNNING)
        return false;
    if (q->source == QUESTION_NOBODY) {
        q->source = provider;
        q->try++;
    }
    *ret_try = q->try;
    return q->source == provider;
}

/* ---- the end ---- */

/* First a fallback or repeat, then the most preferred candidate. */
static size_t held_up_provider(const struct question *q)
{
    size_t held = QUESTION_NOBODY;
    for (size_t i = 0; i < q->plan.provider_count; i++)
        if (q->rows[i].state == ROW_HELD && q->rows[i].instead)
            return i;
    for (size_t i = q->plan.count; i-- > 0;)
        if (q->rows[q->plan.candidates[i]].state == ROW_HELD)
            held = q->plan.candidates[i];
    return held;
}

struct question_outcome question_outcome(const struct question *q)
{
    struct question_outcome outcome = {.reported = q->reported, .winner = q->winner, .refused = q->plan.refused, .held_up_provider = QUESTION_NOBODY};
    assert(q->verdict != OPEN && q->live == 0);
    if (q->verdict == WON) {
        outcome.skipped = q->rows[q->winner].skipped;
        outcome.alone = is_alone(q, &q->rows[q->winner]);
        outcome.was_heard = q->source == q->winner;
        outcome.final_try = outcome.was_heard ? q->try : q->try + 1;
    } else if (q->verdict == LOST && (outcome.held_up_provider = held_up_provider(q)) != QUESTION_NOBODY) {
        outcome.held_up = true;
        outcome.held_up_skipped = q->rows[outcome.held_up_provider].skipped;
        outcome.held_up_alone = is_alone(q, &q->rows[outcome.held_up_provider]);
    }
    return outcome;
}
