/* What providers' codes and types mean: a table of those that are known, whatever their spelling ("RateLimitError", "rate_limit_error" and
 * "rate-limit" are one), and how they are looked up. Pure. */
#ifndef CHAT_LLM_REFUSAL_REASONS_H
#define CHAT_LLM_REFUSAL_REASONS_H

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

#endif
