/* What providers' words mean: two tables, and how they are looked up. Pure data but for that; to teach the worker a new refusal, add
 * a line here and one to tests/unit/test_refusal.c.
 *
 *   reasons  known codes and types, whatever their spelling: "RateLimitError", "rate_limit_error" and "rate-limit" are one
 *   rules    which words together mean what, for reasons that nobody knows yet */
#ifndef CHAT_LLM_REFUSAL_WORDS_H
#define CHAT_LLM_REFUSAL_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "llm/failure_kind.h"
#include "llm/refusal_text.h"

enum reason_weight {
    REASON_UNKNOWN,
    REASON_VAGUE, /* says little: "invalid_request_error" comes with an empty account, too; words go before it, and a status that differs */
    REASON_PLAIN  /* means this, whatever else is said */
};

/* What a reason means; *ret_kind is set unless it is unknown. Of "Throttling.RateQuota" any part may be known. */
enum reason_weight refusal_reason_look(const struct refusal_reason *reason, enum failure_kind *ret_kind);
/* Is this, within a text, plainly a program's word and known? "flagged" is anybody's. */
bool refusal_reason_is_distinct(const char *word, size_t size);

/* Where a rule holds: statuses that were, and words that came without one. */
enum refusal_on {
    ON_NONE = 1,    /* no status: an error in a 200 or a stream */
    ON_400 = 2,     /* 400, 406, 409, 412, 422 and any other refusal of the request */
    ON_403 = 4,     /* 403, 451, 498 */
    ON_401 = 1024,  /* a key's, whatever it says */
    ON_402 = 8,
    ON_404 = 16,
    ON_413 = 32,
    ON_424 = 64,
    ON_429 = 128,
    ON_500 = 256,   /* 500, 501, 502 and other 5xx but 503 and 529 */
    ON_503 = 512    /* 503, 529 */
};
unsigned refusal_on_status(int status); /* 0: no status */

/* The kind that words mean, or FAILURE_NONE. on: one of them. waits: how long to wait was told. */
enum failure_kind refusal_words_kind(const char *words, unsigned on, bool waits);
/* Do words say that the request is too long: a word for length, and a size or a limit? Not of a rate, nor of a picture or a
 * parameter. strictly: only if they say nothing else (a server's own failure may mention the context in passing). */
bool refusal_words_too_long(const char *words, bool strictly);
/* "limit 6000, requested 7000": no waiting makes that fit. */
bool refusal_words_never_fit(const char *words);
/* A feature or parameter that this model lacks: another's may have it. */
bool refusal_words_unsupported(const char *words);
/* "a|b": is one of them there, from the beginning of a word on? Words as refusal_text.h has them. */
bool refusal_words_have(const char *words, const char *alternatives);

#endif
