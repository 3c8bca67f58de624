/* When to try again: pure. Source of the header rules: openai-python 3.3 `_base_client.py`. */
#ifndef CHAT_LLM_RETRY_POLICY_H
#define CHAT_LLM_RETRY_POLICY_H

#include <stdbool.h>
#include <stdint.h>

struct retry_settings_view {
    int64_t backoff_ms;
    int64_t backoff_max_ms;
};

/* `retry-after-ms`, then `retry-after` (seconds, may be fractional, or an HTTP date), as milliseconds from
 * now; -1 when absent, unreadable or negative. Both may be NULL. */
int64_t retry_after_parse(const char *retry_after_ms, const char *retry_after, int64_t now_wall_ms);

#define RETRY_AFTER_OBEYED_MS_MAX 120000 /* a provider that asks for more is not retried */

/* The wait before attempt number failures + 1: the provider's Retry-After when 0 <= asked_ms <=
 * RETRY_AFTER_OBEYED_MS_MAX, else full jitter: uniform in [0, min(backoff·2^(failures-1), backoff_max)]. random01 in [0, 1). */
int64_t retry_delay_ms(const struct retry_settings_view *settings, int64_t failures, int64_t asked_ms, double random01);

/* Should a retriable failure be tried again? asked_ms over the bound, or should_retry == 0: no. */
bool retry_allowed(int64_t failures, int64_t attempts_max, int64_t asked_ms, int should_retry);

#endif
