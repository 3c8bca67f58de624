#include "engine/job_slots.h"

#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"

void job_slots_init(struct job_slots *slots, int count, int lanes)
{
    lanes = lanes < count ? lanes : count;
    *slots = (struct job_slots){.shown = xcalloc((size_t)count, sizeof *slots->shown), .lanes = lanes};
    slots->beyond = slots->shown + lanes;
    mutex_init(&slots->lock);
    for (int slot = count - 1; slot >= 0; slot--)
        job_slots_give(slots, slot);
}

void job_slots_finish(struct job_slots *slots)
{
    mutex_destroy(&slots->lock);
    free(slots->shown);
}

int job_slots_take(struct job_slots *slots)
{
    mutex_lock(&slots->lock);
    assert(slots->shown_free + slots->beyond_free > 0);
    int slot = slots->shown_free > 0 ? slots->shown[--slots->shown_free] : slots->beyond[--slots->beyond_free];
    mutex_unlock(&slots->lock);
    return slot;
}

void job_slots_give(struct job_slots *slots, int slot)
{
    mutex_lock(&slots->lock);
    if (slot < slots->lanes)
        slots->shown[slots->shown_free++] = slot;
    else
        slots->beyond[slots->beyond_free++] = slot;
    mutex_unlock(&slots->lock);
}
