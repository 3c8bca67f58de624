#include "dispatch/task_state.h"

#define TO(state) (1u << (state))

static const struct {
    unsigned next; /* states that may follow, by bit */
    bool is_started, waits, is_in_hand;
} states[TASK_STATES] = {
    [TASK_NEW] = {TO(TASK_BEHIND) | TO(TASK_IN_LINE) | TO(TASK_LEAVING) | TO(TASK_ENDED), false, false, false},
    [TASK_BEHIND] = {TO(TASK_IN_LINE) | TO(TASK_AHEAD) | TO(TASK_LEAVING), false, true, true},
    [TASK_IN_LINE] = {TO(TASK_BEGINNING) | TO(TASK_READY) | TO(TASK_RUNNING) | TO(TASK_LEAVING), false, true, true},
    [TASK_BEGINNING] = {TO(TASK_READY) | TO(TASK_RUNNING), true, false, true},
    [TASK_AHEAD] = {TO(TASK_BEHIND) | TO(TASK_READY) | TO(TASK_RUNNING) | TO(TASK_LEAVING), true, false, true},
    [TASK_READY] = {TO(TASK_RUNNING) | TO(TASK_LEAVING), true, true, true},
    [TASK_RUNNING] = {TO(TASK_PARKED) | TO(TASK_IN_LINE) | TO(TASK_LEAVING) | TO(TASK_ENDED), true, false, true},
    [TASK_PARKED] = {TO(TASK_IN_LINE) | TO(TASK_LEAVING), false, true, true},
    /* A cancelled one whose claim is another worker's waits for the word of that one. */
    [TASK_LEAVING] = {TO(TASK_PARKED) | TO(TASK_ENDED), false, false, true},
    [TASK_ENDED] = {0, false, false, false},
};

bool task_state_is_started(enum task_state state)
{
    return states[state].is_started;
}

bool task_state_waits(enum task_state state)
{
    return states[state].waits;
}

bool task_state_is_in_hand(enum task_state state)
{
    return states[state].is_in_hand;
}

bool task_state_may_become(enum task_state from, enum task_state to)
{
    return (states[from].next & TO(to)) != 0;
}
