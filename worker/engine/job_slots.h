/* Which job slots of the event loops are free. Those that are lanes (telemetry/steps.h), and so can be seen, are given first, the last freed on top: else, after
 * more jobs at once than there are lanes, a few would go on in slots that nothing shows. Any thread; holds its own lock for a moment. */
#ifndef CHAT_ENGINE_JOB_SLOTS_H
#define CHAT_ENGINE_JOB_SLOTS_H

#include "base/mutex.h"

struct job_slots {
    struct mutex lock;   /* guards the rest */
    int *shown, *beyond; /* the free ones, as stacks; beyond: the second half of shown's memory */
    int shown_free, beyond_free;
    int lanes; /* slots below this are lanes */
};

void job_slots_init(struct job_slots *slots, int count, int lanes);
void job_slots_finish(struct job_slots *slots);
/* There is a free one: no more jobs are begun than there are slots. */
int job_slots_take(struct job_slots *slots);
void job_slots_give(struct job_slots *slots, int slot);

#endif
