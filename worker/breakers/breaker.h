/* The circuit breaker of one dependency (a provider, Redis, the dead-letter topic): pure; its owner passes the time.
 *
 *   closed ──five failures, no success between──▶ open ──its pause is over──▶ half open
 *     ▲                                            ▲                            │
 *     └── the probes cover every thread, or ───────┼──── the probe failed ──────┤
 *         nobody waits to be admitted              └──── (then as when closed) ─┘
 *
 * Five failures: those that a job can cause count once a session (who), since one job that always gets a 500 says nothing
 * about others; those that no job can cause (BREAKER_EACH) count each. Fewer are enough if every job there is has
 * failed; the owner decides that (breakers/blame.h) and calls breaker_open.
 *
 * Half open, one job may start, the probe. When it succeeds, two may, then four: each success admits one more,
 * so that a recovering dependency doesn't get a burst. If there are too few jobs for a burst it is closed sooner:
 * once a probe was answered, and for a pause no job had to wait and none has failed. The pause before a probe
 * doubles with each failed probe.
 *
 * by_rate: it opens also when half of the last BREAKER_RECENT calls failed, with five failures that count. Not for a
 * dependency without a replacement: half of the answers are better than none. */
#ifndef CHAT_BREAKERS_BREAKER_H
#define CHAT_BREAKERS_BREAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BREAKER_FAILURES 5
#define BREAKER_RECENT 20
#define BREAKER_ADMITS_ALL SIZE_MAX
#define BREAKER_EACH UINT64_MAX /* who: any job would have failed */

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

struct breaker {
    /* Set once. */
    int64_t pause_min_ms, pause_max_ms;
    size_t threads;
    bool by_rate;
    /* The rest is zero at first. */
    enum breaker_state state;
    uint64_t failed[BREAKER_FAILURES]; /* sessions, since the last success or opening */
    int failures;
    uint64_t who[BREAKER_FAILURES]; /* the sessions that have failed since the last success, also while it is open; further ones aren't stored */
    int sessions;
    bool no_jobs_doing; /* since the last success there was a failure that no job can cause */
    uint64_t recent[BREAKER_RECENT]; /* by_rate: who of the last calls that failed; 0: the call succeeded */
    int recent_count, recent_at;
    size_t probes;     /* half open: how many may be under way */
    int failed_probes; /* since it opened */
    uint64_t successes; /* as reported: while no failure is remembered, successes may go unreported */
    int64_t probe_ms;  /* open: when the next probe may go */
    bool answered;     /* half open: a probe succeeded */
    bool waited_for;   /* since the last tick */
    int64_t waited_ms; /* half open: when it was first answered, or a job last had to wait, or failed */
};

/* Each returns true when the state has changed. who: names the session; the time in ms, of any clock that only rises. */
bool breaker_failed(struct breaker *breaker, uint64_t who, int64_t now_ms);
bool breaker_succeeded(struct breaker *breaker, int64_t now_ms);
/* Opens, half opens or closes the breaker when that is due. */
bool breaker_tick(struct breaker *breaker, int64_t now_ms);
/* Opens it, unless it is. */
bool breaker_open(struct breaker *breaker, int64_t now_ms);

/* The dependency refused a job because of the job. So it works, and a series of failures ends; but it is no answer: an open breaker
 * stays open, and the failed sessions are remembered. */
void breaker_refused(struct breaker *breaker);
/* A job had to wait to be admitted. */
void breaker_waited_for(struct breaker *breaker);

/* How many sessions have failed since the last success, who included; BREAKER_FAILURES: so many, or more. */
int breaker_sessions_with(const struct breaker *breaker, uint64_t who);
/* Since the last success more than one session has failed, or in a way that no job can cause. */
bool breaker_several(const struct breaker *breaker);
/* How many jobs that need the dependency may be under way. */
size_t breaker_admits(const struct breaker *breaker);
/* Open, without an answer since. */
bool breaker_is_away(const struct breaker *breaker);
/* No failure is remembered. */
bool breaker_is_calm(const struct breaker *breaker);

#endif
