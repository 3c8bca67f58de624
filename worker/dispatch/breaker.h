/* The circuit breaker of one dependency (a provider, Redis, the dead-letter topic): pure; its owner brings the time.
 *
 *   closed ──five failures of distinct sessions, no success between──▶ open ──its pause is over──▶ half open
 *     ▲                                                                 ▲                            │
 *     └────── enough successes: the permits cover every thread ─────────┼──── the probe failed ──────┤
 *                                                                       └──── (then as when closed) ─┘
 *
 * Half open, one job may go, the probe. When it succeeds, two may, then four: each success gives one permit more,
 * so that a dependency that comes back isn't met by a burst. Distinct sessions, since one job that always gets a
 * 500 says nothing about the others. The pause doubles with each failed probe.
 *
 * by_rate: it opens also when half of the last BREAKER_RECENT calls failed, of five sessions at least. Not for a
 * dependency that has no stand-in: half of the answers are better than none. */
#ifndef CHAT_DISPATCH_BREAKER_H
#define CHAT_DISPATCH_BREAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BREAKER_FAILURES 5
#define BREAKER_RECENT 20
#define BREAKER_PERMITS_ALL SIZE_MAX

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

struct breaker {
    /* Set once. */
    int64_t pause_min_ms, pause_max_ms;
    size_t threads;
    bool by_rate;
    /* The rest is zero at first. */
    enum breaker_state state;
    uint64_t failed[BREAKER_FAILURES]; /* sessions, since the last success */
    int failures;
    uint64_t recent[BREAKER_RECENT]; /* by_rate: whose calls failed lately, 0: it succeeded */
    int recent_count, recent_at;
    size_t permits;    /* half open */
    int failed_probes; /* since it opened */
    uint64_t successes; /* that were told: those while nothing is remembered may not be */
    int64_t probe_ms;  /* open: when the next probe may go */
};

/* Each returns true when the state has changed. who: names the session; the time in ms, of any clock that only rises. */
bool breaker_failed(struct breaker *breaker, uint64_t who, int64_t now_ms);
bool breaker_succeeded(struct breaker *breaker);
bool breaker_tick(struct breaker *breaker, int64_t now_ms);

/* How many jobs that need it may be under way. */
size_t breaker_permits(const struct breaker *breaker);
/* No failure is remembered. */
bool breaker_is_calm(const struct breaker *breaker);

#endif
