/* The circuit breaker of one dependency (a provider, Redis, the dead-letter topic): pure; its owner brings the time.
 *
 *   closed ──five failures, no success between──▶ open ──its pause is over──▶ half open
 *     ▲                                            ▲                            │
 *     └── the probes cover every thread, or ───────┼──── the probe failed ──────┤
 *         nobody waits to be admitted              └──── (then as when closed) ─┘
 *
 * Five failures: those that a job can cause count once a session (who), since one job that always gets a 500 says nothing
 * about the others; those that no job can cause (BREAKER_EACH) count each. Fewer are enough where every job there is has
 * failed; that is the owner's to see (breakers/blame.h), and to say: breaker_open.
 *
 * Half open, one job may go, the probe. When it succeeds, two may, then four: each success admits one more,
 * so that a dependency that comes back isn't met by a burst. Where there are too few jobs for a burst it is closed sooner:
 * once a probe was answered, and for a pause no job had to wait and none has failed. The pause before a probe
 * doubles with each that failed.
 *
 * by_rate: it opens also when half of the last BREAKER_RECENT calls failed, five of them so that they count. Not for a
 * dependency that has no stand-in: half of the answers are better than none. */
#ifndef CHAT_BREAKERS_BREAKER_H
#define CHAT_BREAKERS_BREAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BREAKER_FAILURES 5
#define BREAKER_RECENT 20
#define BREAKER_ADMITS_ALL SIZE_MAX
#define BREAKER_EACH UINT64_MAX /* who: whoever asks would have failed */

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
    uint64_t who[BREAKER_FAILURES]; /* the sessions that have failed since the last success, also while it is open; no more are told apart */
    int sessions;
    bool no_jobs_doing; /* the same: once it was a failure that no job can cause */
    uint64_t recent[BREAKER_RECENT]; /* by_rate: whose calls failed lately, 0: it succeeded */
    int recent_count, recent_at;
    size_t probes;     /* half open: how many may be under way */
    int failed_probes; /* since it opened */
    uint64_t successes; /* that were told: those while nothing is remembered may not be */
    int64_t probe_ms;  /* open: when the next probe may go */
    bool answered;     /* half open: a probe succeeded */
    bool waited_for;   /* since the last tick */
    int64_t waited_ms; /* half open: when it was first answered, or since then somebody was kept waiting, or failed */
};

/* Each returns true when the state has changed. who: names the session; the time in ms, of any clock that only rises. */
bool breaker_failed(struct breaker *breaker, uint64_t who, int64_t now_ms);
bool breaker_succeeded(struct breaker *breaker, int64_t now_ms);
/* Opens, half opens or closes what is due. */
bool breaker_tick(struct breaker *breaker, int64_t now_ms);
/* Opens it, unless it is. */
bool breaker_open(struct breaker *breaker, int64_t now_ms);

/* It refused a job for what the job is. So it is there, and what failed before was no series; but it is no answer: what is open
 * stays open, and who has failed is remembered. */
void breaker_refused(struct breaker *breaker);
/* Somebody had to wait to be admitted, since the last tick. */
void breaker_waited_for(struct breaker *breaker);

/* How many sessions have failed since the last success, who among them; BREAKER_FAILURES: so many, or more. */
int breaker_sessions_with(const struct breaker *breaker, uint64_t who);
/* Since the last success others than one have failed, or it was no job's doing. */
bool breaker_several(const struct breaker *breaker);
/* How many jobs that need it may be under way. */
size_t breaker_admits(const struct breaker *breaker);
/* Open, and not answered since. */
bool breaker_is_away(const struct breaker *breaker);
/* No failure is remembered. */
bool breaker_is_calm(const struct breaker *breaker);

#endif
