/* What a call is estimated at before and after it is made: pure, any thread. Tokens for budgets; and, for rates, time:
 * at R a minute one costs 60 s / R, and that is all that permits.c tells Redis. */
#ifndef CHAT_LLM_COST_H
#define CHAT_LLM_COST_H

#include <stddef.h>
#include <stdint.h>

#define COST_TOKENS_UNKNOWN (-1) /* the answer didn't say what was used */
#define COST_TOKENS_MAX INT64_C(1000000000000) /* more count as so many */
#define COST_PER_MINUTE_MAX INT64_C(1000000000) /* a faster rate counts as this one */
#define COST_US_MAX (3600 * INT64_C(1000000))

/* A request's tokens: a quarter of its body's bytes, rounded up (OpenAI's rule of thumb, "1 token ~= 4 chars in English";
 * other scripts have more tokens a character, but more bytes too), and all that it may be answered with. max_tokens:
 * what the request names; 0 or less: it names none, and then only the question is estimated. */
int64_t cost_tokens(size_t body_bytes, int64_t max_tokens);

/* How many of them a call reserves ahead: what a burst holds at most, and a second's worth at least. An estimate is a bound (max_tokens) that few
 * answers reach: reserved whole, one large question would take the rate from all others for as long as its call lasts. What it
 * did use beyond that is added afterwards, and paid for by those to come. per_minute 0: all. */
int64_t cost_tokens_ahead(int64_t tokens, int64_t per_minute, int64_t burst_ms);
/* The most that a question may need: a minute's, or a burst's where that is more. Beyond it no pause is long enough. per_minute 0: any number. */
int64_t cost_tokens_most(int64_t per_minute, int64_t burst_ms);

/* The time that amount takes at a rate, in µs, rounded up: never faster than the rate. 0: no limit, or an amount of 0
 * or less. At most an hour: a usage that makes no sense can't shut a provider for longer. */
int64_t cost_us(int64_t amount, int64_t per_minute);

/* How much time's worth may be used at once, in µs: burst_ms, but one at the least and an hour's at most. 0: no limit. */
int64_t cost_burst_us(int64_t burst_ms, int64_t per_minute);

#endif
