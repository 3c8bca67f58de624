#include "dispatch/task_state.h"

/* By bit: which states may follow each. */
static const unsigned next[TASK_STATES] = {
    [TASK_NEW] = TASK_BIT(TASK_BEHIND) | TASK_BIT(TASK_IN_LINE) | TASK_BIT(TASK_LEAVING) | TASK_BIT(TASK_ENDED),
    [TASK_BEHIND] = TASK_BIT(TASK_IN_LINE) | TASK_BIT(TASK_AHEAD) | TASK_BIT(TASK_LEAVING),
    [TASK_IN_LINE] = TASK_BIT(TASK_BEGINNING) | TASK_BIT(TASK_READY) | TASK_BIT(TASK_RUNNING) | TASK_BIT(TASK_LEAVING),
    [TASK_BEGINNING] = TASK_BIT(TASK_READY) | TASK_BIT(TASK_RUNNING),
    [TASK_AHEAD] = TASK_BIT(TASK_BEHIND) | TASK_BIT(TASK_READY) | TASK_BIT(TASK_RUNNING) | TASK_BIT(TASK_LEAVING),
    [TASK_READY] = TASK_BIT(TASK_RUNNING) | TASK_BIT(TASK_LEAVING),
    [TASK_RUNNING] = TASK_BIT(TASK_PARKED) | TASK_BIT(TASK_IN_LINE) | TASK_BIT(TASK_LEAVING) | TASK_BIT(TASK_ENDED),
    [TASK_PARKED] = TASK_BIT(TASK_IN_LINE) | TASK_BIT(TASK_LEAVING),
    /* A cancelled task whose claim another worker holds waits for that worker's end. */
    [TASK_LEAVING] = TASK_BIT(TASK_PARKED) | TASK_BIT(TASK_ENDED),
    [TASK_ENDED] = 0,
};

bool task_state_may_become(enum task_state from, enum task_state to)
{
    return (next[from] & TASK_BIT(to)) != 0;
}
