/* Where a task stands with the dispatcher: one state, which says who has it, whether it counts as under way (admission.h) and
 * which place it has in its lane. task_places.c alone changes it, by one function; pure.
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
    TASK_NEW,       /* being added; one that can't be decoded stays so until it ends */
    TASK_BEHIND,    /* waits behind another of its lane */
    TASK_IN_LINE,   /* waits for its start (start_order.h); with all below head of its lane, if it has one */
    TASK_BEGINNING, /* started: with the begin thread */
    TASK_AHEAD,     /* started, though not the head yet: its predecessor's holder begins it with that one's end */
    TASK_READY,     /* started, in the batched form begun: waits for a thread */
    TASK_RUNNING,   /* started: with a thread or completion */
    TASK_PARKED,    /* waits for a time */
    TASK_LEAVING,   /* not under way: whoever has it ends it. Cancelled, let go with its partition, or its lane is the next one's */
    TASK_ENDED,     /* its holder has ended it: nothing is known of it here */
    TASK_STATES
};

#define TASK_BIT(state) (1u << (state))

/* It is under way: it has its share of what may be. */
static inline bool task_state_is_started(enum task_state state)
{
    return (TASK_BIT(state) & (TASK_BIT(TASK_BEGINNING) | TASK_BIT(TASK_AHEAD) | TASK_BIT(TASK_READY) | TASK_BIT(TASK_RUNNING))) != 0;
}

/* The dispatcher has it, and may take it out. */
static inline bool task_state_waits(enum task_state state)
{
    return (TASK_BIT(state) & (TASK_BIT(TASK_BEHIND) | TASK_BIT(TASK_IN_LINE) | TASK_BIT(TASK_READY) | TASK_BIT(TASK_PARKED))) != 0;
}

/* From dispatcher_add to dispatcher_end. */
static inline bool task_state_is_in_hand(enum task_state state)
{
    return state != TASK_NEW && state != TASK_ENDED;
}

/* Is the step from one to the other ever taken? */
bool task_state_may_become(enum task_state from, enum task_state to);

#endif
