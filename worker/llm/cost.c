#include "llm/cost.h"

#define MINUTE_US INT64_C(60000000)
#define AHEAD_MS_MIN 1000

static int64_t at_most(int64_t value, int64_t max)
{
    return value < max ? value : max;
}

int64_t cost_tokens(size_t body_bytes, int64_t max_tokens)
{
    size_t asked = body_bytes / 4 + (body_bytes % 4 != 0);
    int64_t tokens = asked < (size_t)COST_TOKENS_MAX ? (int64_t)asked : COST_TOKENS_MAX;
    if (max_tokens > 0)
        tokens += at_most(max_tokens, COST_TOKENS_MAX);
    return at_most(tokens, COST_TOKENS_MAX);
}

/* How many tokens ms allow at the rate, rounded down: minutes separately, against overflow. */
static int64_t tokens_in(int64_t ms, int64_t per_minute)
{
    int64_t rate = at_most(per_minute, COST_PER_MINUTE_MAX);
    return ms / 60000 * rate + ms % 60000 * rate / 60000;
}

int64_t cost_tokens_ahead(int64_t tokens, int64_t per_minute, int64_t burst_ms)
{
    if (per_minute <= 0)
        return tokens;
    int64_t most = tokens_in(burst_ms > AHEAD_MS_MIN ? at_most(burst_ms, COST_US_MAX / 1000) : AHEAD_MS_MIN, per_minute);
    return at_most(tokens, most > 1 ? most : 1);
}

int64_t cost_tokens_most(int64_t per_minute, int64_t burst_ms)
{
    return per_minute <= 0 ? INT64_MAX : tokens_in(burst_ms > 60000 ? at_most(burst_ms, COST_US_MAX / 1000) : 60000, per_minute);
}

int64_t cost_us(int64_t amount, int64_t per_minute)
{
    if (per_minute <= 0 || amount <= 0)
        return 0;
    int64_t rate = at_most(per_minute, COST_PER_MINUTE_MAX);
    int64_t minutes = amount / rate;
    if (minutes >= COST_US_MAX / MINUTE_US) /* before it could overflow */
        return COST_US_MAX;
    return minutes * MINUTE_US + (amount % rate * MINUTE_US + rate - 1) / rate;
}

int64_t cost_burst_us(int64_t burst_ms, int64_t per_minute)
{
    if (per_minute <= 0)
        return 0;
    int64_t burst = burst_ms <= 0 ? 0 : at_most(burst_ms, COST_US_MAX / 1000) * 1000;
    int64_t one = cost_us(1, per_minute);
    return burst > one ? burst : one;
}
