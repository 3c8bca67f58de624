/* Whom to ask, and when: the decisions of the three strategies over an ordered list of providers. Pure: the owner
 * (llm_ask.c) brings the time, makes the calls and tells how they ended; it does what it is told until WON or LOST.
 *
 *   sequential  the next when the one before has failed
 *   race        all at once; the first good answer wins, and an error never does while another may still succeed
 *   hedge       the next also when no answer came for hedge_after_ms, or at once on an error that another may not have;
 *               source: gRFC A6 (hedging policy: non-fatal status codes), The Tail at Scale (hedge at the p95)
 *
 * An error of the question itself (a 400) is fatal: it ends all, since every provider would say so. */
#ifndef CHAT_LLM_CALL_POLICY_H
#define CHAT_LLM_CALL_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/settings.h"

enum call_verdict {
    CALL_GOOD,
    CALL_FAILED, /* another provider may succeed */
    CALL_FATAL   /* none will */
};

struct call_policy {
    enum strategy strategy;
    size_t count;           /* candidates, by preference */
    int64_t hedge_after_ms;
    size_t next;            /* the first that wasn't started */
    size_t running;         /* how many are */
    int64_t hedge_at_ms;    /* when the next is due though others run; INT64_MAX: never */
    bool won, lost;
};

/* count: at least 1. hedge_after_ms: of `hedge` alone. */
void call_policy_init(struct call_policy *policy, enum strategy strategy, size_t count, int64_t hedge_after_ms);

enum call_step {
    CALL_START, /* start *ret_candidate now, then ask again; not possible: tell call_policy_ended */
    CALL_WAIT,  /* until a call ends, or *ret_until_ms at the latest (INT64_MAX: no such time), then ask again */
    CALL_WON,
    CALL_LOST
};

/* may_hedge(arg) is asked when an extra call is due, one beyond those that others' failures ask for; false: it is given
 * up, and those that run are waited for. */
enum call_step call_policy_next(struct call_policy *policy, int64_t now_ms, bool (*may_hedge)(void *arg), void *arg,
                                size_t *ret_candidate, int64_t *ret_until_ms);

/* A started call ended so. */
void call_policy_ended(struct call_policy *policy, enum call_verdict verdict);

#endif
