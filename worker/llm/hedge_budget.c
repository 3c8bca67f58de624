#include "llm/hedge_budget.h"

#define SHARE 0.2
#define A_SECOND 10.0
#define SAVED_MAX (10 * A_SECOND)

static void earn(struct hedge_budget *budget, double more)
{
    budget->extra = budget->extra + more < SAVED_MAX ? budget->extra + more : SAVED_MAX;
}

static void tick(struct hedge_budget *budget, int64_t now_ms)
{
    if (now_ms <= budget->at_ms)
        return;
    earn(budget, A_SECOND * (double)(now_ms - budget->at_ms) / 1000);
    budget->at_ms = now_ms;
}

void hedge_budget_init(struct hedge_budget *budget, int64_t now_ms)
{
    *budget = (struct hedge_budget){.extra = A_SECOND, .tokens = HEDGE_TOKENS, .at_ms = now_ms};
}

void hedge_budget_called(struct hedge_budget *budget, int64_t now_ms)
{
    tick(budget, now_ms);
    earn(budget, SHARE);
}

void hedge_budget_ended(struct hedge_budget *budget, bool good)
{
    budget->tokens += good ? 0.1 : -1;
    if (budget->tokens > HEDGE_TOKENS)
        budget->tokens = HEDGE_TOKENS;
    if (budget->tokens < 0)
        budget->tokens = 0;
}

bool hedge_budget_take(struct hedge_budget *budget, int64_t now_ms)
{
    tick(budget, now_ms);
    if (budget->tokens <= HEDGE_TOKENS / 2 || budget->extra < 1)
        return false;
    budget->extra -= 1;
    return true;
}
