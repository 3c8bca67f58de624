/* What providers' codes and types mean: a table of known ones, in any spelling ("RateLimitError", "rate_limit_error" and
 * "rate-limit" are the same), and the look-up. Pure. */
#ifndef CHAT_LLM_REFUSAL_REASONS_H
#define CHAT_LLM_REFUSAL_REASONS_H

#include <stdbool.h>
#include <stddef.h>

#include "llm/failure_kind.h"
#include "llm/refusal_text.h"

enum reason_weight {
    REASON_UNKNOWN,
    REASON_VAGUE, /* unspecific: "invalid_request_error" comes with an empty account, too; words take precedence, and a status that differs */
    REASON_PLAIN  /* decides, whatever else the body contains */
};

/* What a reason means; *ret_kind is set unless the reason is unknown. Of "Throttling.RateQuota" any part may be known. */
enum reason_weight refusal_reason_look(const struct refusal_reason *reason, enum failure_kind *ret_kind);
/* Is this word of a text a known reason, and clearly an identifier? "flagged" may be prose. */
bool refusal_reason_is_distinct(const char *word, size_t size);

#endif
