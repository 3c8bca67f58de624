#include "llm/call_policy.h"

void call_policy_init(struct call_policy *policy, enum strategy strategy, size_t count, int64_t hedge_after_ms)
{
    *policy = (struct call_policy){.strategy = strategy, .count = count, .hedge_after_ms = hedge_after_ms, .hedge_at_ms = INT64_MAX};
}

/* Does the next candidate start now, beside those that run? */
static bool is_due(struct call_policy *policy, int64_t now_ms, bool (*may_hedge)(void *arg), void *arg)
{
    if (policy->running == 0 || policy->strategy == STRATEGY_RACE)
        return true;
    if (policy->strategy != STRATEGY_HEDGE || now_ms < policy->hedge_at_ms)
        return false;
    policy->hedge_at_ms = INT64_MAX; /* asked once: a budget that says no isn't pressed */
    return may_hedge(arg);
}

enum call_step call_policy_next(struct call_policy *policy, int64_t now_ms, bool (*may_hedge)(void *arg), void *arg, size_t *ret_candidate,
                                int64_t *ret_until_ms)
{
    if (policy->won)
        return CALL_WON;
    if (policy->lost)
        return CALL_LOST;
    if (policy->next < policy->count && is_due(policy, now_ms, may_hedge, arg)) {
        *ret_candidate = policy->next++;
        policy->running++;
        if (policy->strategy == STRATEGY_HEDGE)
            policy->hedge_at_ms = now_ms + policy->hedge_after_ms;
        return CALL_START;
    }
    if (policy->running == 0)
        return CALL_LOST;
    *ret_until_ms = policy->next < policy->count ? policy->hedge_at_ms : INT64_MAX;
    return CALL_WAIT;
}

void call_policy_ended(struct call_policy *policy, enum call_verdict verdict)
{
    policy->running--;
    if (verdict == CALL_GOOD)
        policy->won = true;
    else if (verdict == CALL_FATAL)
        policy->lost = true;
    else if (policy->strategy == STRATEGY_HEDGE)
        policy->hedge_at_ms = INT64_MIN; /* the next at once, if the budget allows or nobody runs */
}
