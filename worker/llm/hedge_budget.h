/* How many extra calls a worker may make: two limits, both must allow one. Pure; its owner locks and passes the time.
 *
 * - The retry budget of Finagle: each call deposits a fifth of an extra one, and ten a second are added; at most
 *   ten seconds' worth is kept.
 * - The throttle of gRFC A6: ten tokens, a failure takes one, a success gives a tenth back; at half or less
 *   there are no extra calls: a provider in trouble isn't asked twice. */
#ifndef CHAT_LLM_HEDGE_BUDGET_H
#define CHAT_LLM_HEDGE_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#define HEDGE_TOKENS 100 /* tenths */

struct hedge_budget {
    int64_t extra;  /* thousandths of calls that may be made */
    int64_t tokens; /* tenths, of the throttle */
    int64_t at_ms; /* when `extra` was last increased by time */
};

void hedge_budget_init(struct hedge_budget *budget, int64_t now_ms);
/* A question is asked, by a first call. */
void hedge_budget_called(struct hedge_budget *budget, int64_t now_ms);
void hedge_budget_ended(struct hedge_budget *budget, bool good);
/* True takes one. */
bool hedge_budget_take(struct hedge_budget *budget, int64_t now_ms);

#endif
