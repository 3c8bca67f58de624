/* How long one provider's answers take, for two questions: when to hedge, and whether a job's time is too short to ask at all.
 * Pure: the owner (provider_times.c) locks and brings the time.
 *
 * Too short is what is less than the quickest answer of the last 30 to 60 s took: a mix of long and short answers condemns no
 * short one. A job that names its max_tokens may be quicker still: by the quickest time per token. What is older is forgotten.
 * And nobody learns anything from jobs that aren't asked, so now and then one is, the probe, first after PROBE_GAP_MIN_MS, then
 * after twice as long, up to PROBE_GAP_MAX_MS; those that come meanwhile wait for what it finds, for half of their time at most. */
#ifndef CHAT_LLM_ANSWER_TIMES_H
#define CHAT_LLM_ANSWER_TIMES_H

#include <stdbool.h>
#include <stdint.h>

#include "llm/latency.h"

#define QUICKEST_HALF_MS 30000
#define PROBE_GAP_MIN_MS 250
#define PROBE_GAP_MAX_MS 2000

/* The quickest answers of one stretch of time. */
struct quickest {
    int64_t whole_ms;
    double token_ms; /* by the completion's tokens; of answers that said how many */
    uint32_t answers;
};

struct answer_times {
    struct latency first;
    uint32_t firsts;      /* samples of it */
    int64_t p95_first_ms; /* of its last reading; -1: none yet */
    struct quickest now, before;
    int64_t now_began_ms;
    int64_t probed_ms, probe_gap_ms; /* the last probe's start, and when the next may follow */
    int64_t probe_left_ms;           /* what it had */
};

void answer_times_init(struct answer_times *times, int64_t now_ms);

/* first_ms: to the first token, or to the end of a call that brought none; whole_ms: to the end; tokens: of the completion, 0 or
 * less: unknown. */
void answer_times_good(struct answer_times *times, int64_t first_ms, int64_t whole_ms, int64_t tokens, int64_t now_ms);
/* Of a call that was cut short or failed, first_ms is less than what its answer would have taken: a censored sample. It
 * counts for the quantile where it is beyond it already, since then how far doesn't matter. Left out, a hedge would hide the
 * very calls it is for: those it beats are never answered, the p95 of the others is lower, and more is hedged. */
void answer_times_cut(struct answer_times *times, int64_t first_ms);

enum in_time {
    IN_TIME_ASK,   /* it may be answered in time, or is the probe */
    IN_TIME_LATER, /* not as it looks; a probe is under way, or due soon: look again */
    IN_TIME_NEVER
};
struct in_time_question {
    int64_t left_ms;    /* what the job has */
    int64_t max_tokens; /* as it names them; 0: it doesn't */
    int64_t waited_ms;  /* how long it waited for a probe already */
    bool may_probe;     /* nobody else can be asked, so that nothing is lost by trying */
};
enum in_time answer_times_look(struct answer_times *times, const struct in_time_question *question, int64_t now_ms);

/* The live p95 of the time to the first token; fallback_ms before there are enough. */
int64_t answer_times_hedge_after_ms(const struct answer_times *times, int64_t fallback_ms);

#endif
