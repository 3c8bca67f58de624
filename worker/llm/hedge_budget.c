#include "llm/hedge_budget.h"

#define CALL 1000 /* thousandths: whole numbers don't drift */
#define SHARE 200
#define A_MS 10 /* ten calls a second */
#define SAVED_MAX (10 * 1000 * A_MS)

static void earn(struct hedge_budget *budget, int64_t more)
{
    budget->extra = more < SAVED_MAX - budget->extra ? budget->extra + more : SAVED_MAX;
}

static void tick(struct hedge_budget *budget, int64_t now_ms)
{
    if (now_ms <= budget->at_ms)
        return;
    earn(budget, A_MS * (now_ms - budget->at_ms));
    budget->at_ms = now_ms;
}

void hedge_budget_init(struct hedge_budget *budget, int64_t now_ms)
{
    *budget = (struct hedge_budget){.extra = 1000 * A_MS, .tokens = HEDGE_TOKENS, .at_ms = now_ms};
}

void hedge_budget_called(struct hedge_budget *budget, int64_t now_ms)
{
    tick(budget, now_ms);
    earn(budget, SHARE);
}

void hedge_budget_ended(struct hedge_budget *budget, bool good)
{
    budget->tokens += good ? 1 : -10;
    if (budget->tokens > HEDGE_TOKENS)
        budget->tokens = HEDGE_TOKENS;
    if (budget->tokens < 0)
        budget->tokens = 0;
}

bool hedge_budget_take(struct hedge_budget *budget, int64_t now_ms)
{
    tick(budget, now_ms);
    if (budget->tokens <= HEDGE_TOKENS / 2 || budget->extra < CALL)
        return false;
    budget->extra -= CALL;
    return true;
}
