/* Records gather: when many jobs are about and records come one by one, the intake lets some come before it takes them, so that they share its wake-up,
 * a round trip of begins to Redis, and an event loop's turn. The first after a silence is taken at once, and what comes in bursts gathers by itself. Pure. */
#ifndef CHAT_INTAKE_GATHERING_H
#define CHAT_INTAKE_GATHERING_H

#include <stdbool.h>

#define GATHERING_TRICKLE_MAX 32 /* more records than this between two rests: they come in company */

struct gathering {
    int taken; /* records since nothing was there to take */
};

static inline void gathering_note_taken(struct gathering *gathering)
{
    gathering->taken++;
}

/* No record is there to take. For how many ms the intake is to leave what comes; 0: it takes the next one as it comes. Then is_crowded: many jobs are alive. */
static inline int gathering_rest_ms(struct gathering *gathering, bool is_crowded, int gather_ms)
{
    bool came_alone = gathering->taken > 0 && gathering->taken <= GATHERING_TRICKLE_MAX;
    gathering->taken = 0;
    return came_alone && is_crowded ? gather_ms / 2 : 0;
}

#endif
