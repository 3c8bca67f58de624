/* A live quantile of a latency: a histogram of buckets an eighth of an octave wide (each 9 % above the one before), whose
 * counts are halved after every LATENCY_SAMPLES_HALVED, so that it follows the provider. Pure; its owner locks.
 *
 * A quantile is the upper bound of its bucket: at most 9 % too high. Below LATENCY_SAMPLES_MIN samples there is none. */
#ifndef CHAT_LLM_LATENCY_H
#define CHAT_LLM_LATENCY_H

#include <stdint.h>

#define LATENCY_BUCKETS 160        /* 1 ms to 17 minutes */
#define LATENCY_SAMPLES_MIN 20
#define LATENCY_SAMPLES_HALVED 2000 /* then each count is halved: the last few thousand calls decide */

struct latency {
    uint32_t counts[LATENCY_BUCKETS];
    uint32_t total;
};

void latency_add(struct latency *latency, int64_t ms);
/* share in (0, 1]: 0.95 for the p95. In ms; -1: too few samples yet. */
int64_t latency_quantile(const struct latency *latency, double share);

#endif
