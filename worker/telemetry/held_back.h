/* What this process holds back at the moment, and why: the gauge chat_held_back{reason,provider}. Each reason is set
 * where the decision is made, and reset when it ends.
 *
 *   limit          a provider has as many calls in flight as it may have                      until one ends
 *   rate           so many jobs wait for a start that a provider's rate allows                 until their starts
 *   breaker        a provider's, Redis' or the dead-letter topic's breaker isn't closed        until it has closed
 *   too_slow       a job had less time than a provider's quickest answer takes                 until a probe is in time
 *   budget         so many tenants were refused: the day's tokens are used up or reserved      until one is answered, or the day ends
 *   buffer         so many partitions are paused: the buffer is full                           until jobs have ended
 *   completed_set  so many partitions aren't read: the completed set is near a commit's limit  until it has shrunk
 *   suspects       so many jobs of a crash run, or wait to run, among few or alone             until they have ended
 *   held           the intake is held (TSTP)                                                   until CONT
 *   draining       the process ends                                                            -
 *
 * A provider's reason has the provider's label. Any thread; atomics, no lock. */
#ifndef CHAT_TELEMETRY_HELD_BACK_H
#define CHAT_TELEMETRY_HELD_BACK_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "settings/settings.h"

/* id, name, whether it is a provider's. A breaker may be both. */
#define HELD_BACK_REASONS(R)                                                                                                      \
    R(LIMIT, "limit", true)                                                                                                       \
    R(RATE, "rate", true)                                                                                                         \
    R(BREAKER, "breaker", true)                                                                                                   \
    R(TOO_SLOW, "too_slow", true)                                                                                                 \
    R(BUDGET, "budget", false)                                                                                                    \
    R(BUFFER, "buffer", false)                                                                                                    \
    R(COMPLETED_SET, "completed_set", false)                                                                                      \
    R(SUSPECTS, "suspects", false)                                                                                                \
    R(HELD, "held", false)                                                                                                        \
    R(DRAINING, "draining", false)

enum held_back_reason {
#define HELD_BACK_ENUM(id, name, of_provider) HELD_BACK_##id,
    HELD_BACK_REASONS(HELD_BACK_ENUM)
#undef HELD_BACK_ENUM
    HELD_BACK_REASON_COUNT
};

#define HELD_BACK_NO_PROVIDER PROVIDERS_MAX
#define HELD_BACK_LINGERS_MS 1000 /* for reasons that change with each call, so that a scrape sees them */

/* provider: index of settings.providers, or HELD_BACK_NO_PROVIDER. value: 0: not held (any more), else 1 or how many are. */
void held_back_set(enum held_back_reason reason, size_t provider, int64_t value);
void held_back_add(enum held_back_reason reason, size_t provider, int64_t by);
/* 1 until until_ms (clock_mono_ms), then 0 by itself. */
void held_back_until(enum held_back_reason reason, size_t provider, int64_t until_ms);
int64_t held_back_get(enum held_back_reason reason, size_t provider, int64_t now_ms);

/* Sets the providers' names for the series; borrowed from then on. At start. */
void held_back_name(const struct settings *settings);
/* The family in Prometheus' text format 0.0.4: each reason, with 0 while it isn't held; of providers, each of the settings'. */
void held_back_print(FILE *out);

#endif
