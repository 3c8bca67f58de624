/* How long one provider's answers take, for two questions: when to hedge, and whether a job's time is too short to ask at all.
 * Pure: the owner (provider_times.c) locks and passes the time.
 *
 * A time is too short if the quickest answer of the last 30 to 60 s took longer: so long answers don't exclude
 * short ones. A job with max_tokens may be quicker still: by the quickest time per token. Older answers are forgotten.
 * Since jobs that aren't asked yield no times, a probe is asked from time to time, first after PROBE_GAP_MIN_MS, then
 * after twice as long, up to PROBE_GAP_MAX_MS; jobs that come meanwhile wait for its result, for half of their time at most. */
#ifndef CHAT_LLM_ANSWER_TIMES_H
#define CHAT_LLM_ANSWER_TIMES_H

#include <stdbool.h>
#include <stdint.h>

#include "llm/latency.h"

#define QUICKEST_HALF_MS 30000
#define PROBE_GAP_MIN_MS 250
#define PROBE_GAP_MAX_MS 2000

/* The quickest answers of one period. */
struct quickest {
    int64_t whole_ms;
    double token_ms; /* per completion token; of answers with a usage */
    uint32_t answers;
};

struct answer_times {
    struct latency first;
    uint32_t firsts;      /* samples in it */
    int64_t p95_first_ms; /* as last computed; -1: none yet */
    struct quickest now, before;
    int64_t now_began_ms;
    int64_t probed_ms, probe_gap_ms; /* the last probe's start, and when the next may follow */
    int64_t probe_left_ms;           /* the time that the probe's job had left */
};

void answer_times_init(struct answer_times *times, int64_t now_ms);

/* first_ms: to the first token, or to the end of a call without one; whole_ms: to the end; tokens: of the completion, 0 or
 * less: unknown. */
void answer_times_good(struct answer_times *times, int64_t first_ms, int64_t whole_ms, int64_t tokens, int64_t now_ms);
/* For a call that was dropped or failed, first_ms is less than its answer would have taken: a censored sample. It
 * counts if it is above the quantile already, since then it doesn't matter by how much. If such calls were omitted, hedging would hide
 * the slow ones: calls that a hedge beats are never answered, so the p95 would fall, and more calls be hedged. */
void answer_times_cut(struct answer_times *times, int64_t first_ms);

enum in_time {
    IN_TIME_ASK,   /* the job may be answered in time, or is the probe */
    IN_TIME_LATER, /* probably not; a probe is under way, or due soon: look again */
    IN_TIME_NEVER
};
struct in_time_question {
    int64_t left_ms;    /* the job's remaining time */
    int64_t max_tokens; /* from the job; 0: none */
    int64_t waited_ms;  /* how long the job has waited for a probe */
    bool may_probe;     /* no other provider can be asked, so that nothing is lost by trying */
};
enum in_time answer_times_look(struct answer_times *times, const struct in_time_question *question, int64_t now_ms);

/* The live p95 of the time to the first token; fallback_ms before there are enough samples. */
int64_t answer_times_hedge_after_ms(const struct answer_times *times, int64_t fallback_ms);

#endif
