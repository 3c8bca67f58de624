/* A task's state in the dispatcher: which stage holds it, whether it counts as under way (admission.h) and
 * its place in its lane. Changed by one function of task_places.c alone; pure.
 *
 *   NEW ─▶ BEHIND ─▶ IN_LINE ─▶ BEGINNING ─▶ READY ─▶ RUNNING ─▶ ENDED
 *            │          ▲ ▲         └──────────────────▲ │ │ │       ▲
 *            └─▶ AHEAD ─┼─┼────────────────────────────┘ │ │ └▶ LEAVING
 *                       │ └── PARKED ◀───────────────────┘ │
 *                       └──────────────────────────────────┘ (a suspect)
 *
 * In the per-thread form there is no BEGINNING: IN_LINE ─▶ READY. */
#ifndef CHAT_DISPATCH_TASK_STATE_H
#define CHAT_DISPATCH_TASK_STATE_H

#include <stdbool.h>

enum task_state {
    TASK_NEW,       /* being added; a job that can't be decoded stays NEW until it ends */
    TASK_BEHIND,    /* waits behind another of its lane */
    TASK_IN_LINE,   /* waits for its start (start_order.h); head of its lane, if it has one, as in all states below */
    TASK_BEGINNING, /* started: with the begin thread */
    TASK_AHEAD,     /* started, though not the head yet: begun together with its predecessor's finish */
    TASK_READY,     /* started, in the batched form begun: waits for a thread */
    TASK_RUNNING,   /* started: with a thread or completion */
    TASK_PARKED,    /* waits for a time */
    TASK_LEAVING,   /* not under way: its holder ends it. Cancelled, its partition revoked, or its lane passed to the next task */
    TASK_ENDED,     /* its holder has ended it: not in any place */
    TASK_STATES
};

#define TASK_BIT(state) (1u << (state))

/* Under way: counts against the bounds. */
static inline bool task_state_is_started(enum task_state state)
{
    return (TASK_BIT(state) & (TASK_BIT(TASK_BEGINNING) | TASK_BIT(TASK_AHEAD) | TASK_BIT(TASK_READY) | TASK_BIT(TASK_RUNNING))) != 0;
}

/* The dispatcher holds it, and may take it out. */
static inline bool task_state_waits(enum task_state state)
{
    return (TASK_BIT(state) & (TASK_BIT(TASK_BEHIND) | TASK_BIT(TASK_IN_LINE) | TASK_BIT(TASK_READY) | TASK_BIT(TASK_PARKED))) != 0;
}

/* From dispatcher_add to dispatcher_end. */
static inline bool task_state_is_in_hand(enum task_state state)
{
    return state != TASK_NEW && state != TASK_ENDED;
}

/* May the one state follow the other? */
bool task_state_may_become(enum task_state from, enum task_state to);

#endif
