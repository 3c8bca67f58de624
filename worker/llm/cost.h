/* A call's cost, estimated before it and computed after it: pure, any thread. Tokens for budgets; and, for rates, time:
 * at R a minute one costs 60 s / R, and permits.c sends nothing else to Redis. */
#ifndef CHAT_LLM_COST_H
#define CHAT_LLM_COST_H

#include <stddef.h>
#include <stdint.h>

#define COST_TOKENS_UNKNOWN (-1) /* the answer had no usage */
#define COST_TOKENS_MAX INT64_C(1000000000000) /* a larger number counts as this */
#define COST_PER_MINUTE_MAX INT64_C(1000000000) /* a faster rate counts as this one */
#define COST_US_MAX (3600 * INT64_C(1000000))

/* A request's tokens: a quarter of its body's bytes, rounded up (OpenAI's rule of thumb, "1 token ~= 4 chars in English";
 * other scripts have more tokens a character, but more bytes too), plus the answer's max_tokens.
 * max_tokens: the request's; 0 or less: it has none, and then only the question is estimated. */
int64_t cost_tokens(size_t body_bytes, int64_t max_tokens);

/* How many of these tokens a call reserves before it: at most a burst's, and at least a second's. An estimate is a bound (max_tokens) that few
 * answers reach: reserved whole, one large question would take the rate from all others for as long as its call lasts. Tokens used
 * beyond the reservation are added afterwards, and delay later calls. per_minute 0: all. */
int64_t cost_tokens_ahead(int64_t tokens, int64_t per_minute, int64_t burst_ms);
/* The most tokens that a question may need: a minute's, or a burst's if that is more. Beyond it no wait is long enough. per_minute 0: any number. */
int64_t cost_tokens_most(int64_t per_minute, int64_t burst_ms);

/* The time that amount takes at a rate, in µs, rounded up: never faster than the rate. 0: no limit, or an amount of 0
 * or less. At most an hour: an absurd usage can't block a provider for longer. */
int64_t cost_us(int64_t amount, int64_t per_minute);

/* The burst as time, in µs: burst_ms, but at least one request's and at most an hour. 0: no limit. */
int64_t cost_burst_us(int64_t burst_ms, int64_t per_minute);

#endif
