#include "chat/provider_choice.h"

#include "breakers/breakers.h"
#include "breakers/breakers_provider.h"
#include "chat/asking.h"
#include "wire/max_tokens.h"

/* The most tokens that the answer may have: from the job, or from the provider's params; 0: in neither. */
static int64_t max_tokens_of(const struct task *task, const struct provider_settings *provider)
{
    int64_t tokens = task->job.params != NULL ? max_tokens_read(task->job.params) : 0;
    return tokens == 0 && provider->params != NULL ? max_tokens_read(provider->params) : tokens;
}

static enum in_time look(const struct service *service, const struct task *task, size_t provider, int64_t left_ms, int64_t now_ms, bool may_probe)
{
    struct in_time_question question = {.left_ms = left_ms,
                                        .max_tokens = max_tokens_of(task, &service->settings->providers[provider]),
                                        .waited_ms = asking_too_slow_ms(task) != 0 ? now_ms - asking_too_slow_ms(task) : 0,
                                        .may_probe = may_probe};
    return provider_times_look(service->times, provider, &question);
}

/* All providers that aren't away look too slow: the first one due for a probe is asked all the same. Returns how many candidates. */
static size_t probe(const struct service *service, const struct task *task, int64_t left_ms, int64_t now_ms, const size_t *slow, size_t slow_count,
                    size_t candidates[PROVIDERS_MAX], enum in_time *ret_in_time)
{
    *ret_in_time = IN_TIME_NEVER;
    for (size_t i = 0; i < slow_count; i++) {
        enum in_time in_time = look(service, task, slow[i], left_ms, now_ms, true);
        candidates[0] = slow[i];
        if (in_time != IN_TIME_NEVER)
            *ret_in_time = in_time;
        if (in_time == IN_TIME_ASK)
            break;
    }
    return 1;
}

size_t choose_providers(const struct service *service, const struct task *task, int64_t left_ms, int64_t now_ms, size_t candidates[PROVIDERS_MAX],
                        enum in_time *ret_in_time)
{
    size_t full[PROVIDERS_MAX], slow[PROVIDERS_MAX];
    size_t count = 0, slow_count = 0, full_count = 0;
    *ret_in_time = IN_TIME_ASK;
    for (size_t i = 0; i < service->settings->asked_count; i++) {
        size_t admitted = breakers_calls_max(service->breakers, i), in_flight = provider_slots_inflight(service->slots, i);
        if (in_flight < admitted && look(service, task, i, left_ms, now_ms, false) == IN_TIME_ASK)
            candidates[count++] = i;
        else if (in_flight < admitted)
            slow[slow_count++] = i;
        else if (in_flight >= provider_slots_limit(service->slots, i))
            full[full_count++] = i;
        else /* its breaker isn't closed */
            breakers_waited_for(service->breakers, i);
    }
    for (size_t i = 0; i < full_count; i++)
        candidates[count++] = full[i];
    if (count == 0 && slow_count > 0)
        return probe(service, task, left_ms, now_ms, slow, slow_count, candidates, ret_in_time);
    if (count == 0) /* a probe took the only admitted call since the dispatcher started this job: may_start will return that */
        candidates[count++] = 0;
    return count;
}
