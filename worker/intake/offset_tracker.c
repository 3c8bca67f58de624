#include "intake/offset_tracker.h"

#include <stdlib.h>

#include "base/alloc.h"

static struct offset_entry *entry_at(const struct offset_tracker *tracker, size_t index)
{
    return &tracker->ring[(tracker->first + index) & (tracker->capacity - 1)];
}

static void grow(struct offset_tracker *tracker)
{
    size_t capacity = tracker->capacity ? tracker->capacity * 2 : 64;
    struct offset_entry *ring = xcalloc(capacity, sizeof *ring);
    for (size_t i = 0; i < tracker->count; i++)
        ring[i] = *entry_at(tracker, i);
    free(tracker->ring);
    tracker->ring = ring;
    tracker->capacity = capacity;
    tracker->first = 0;
}

void offset_tracker_finish(struct offset_tracker *tracker)
{
    free(tracker->ring);
    *tracker = (struct offset_tracker){0};
}

bool offset_tracker_receive(struct offset_tracker *tracker, int64_t offset)
{
    if (offset < tracker->next)
        return false;
    if (tracker->count == tracker->capacity)
        grow(tracker);
    tracker->count++;
    *entry_at(tracker, tracker->count - 1) = (struct offset_entry){.offset = offset};
    tracker->next = offset + 1;
    return true;
}

void offset_tracker_mark_done(struct offset_tracker *tracker, int64_t offset)
{
    size_t low = 0;
    size_t high = tracker->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (entry_at(tracker, middle)->offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == tracker->count || entry_at(tracker, low)->offset != offset)
        return;
    entry_at(tracker, low)->done = true;
    while (tracker->count > 0 && entry_at(tracker, 0)->done) {
        tracker->first = (tracker->first + 1) & (tracker->capacity - 1);
        tracker->count--;
    }
}

int64_t offset_tracker_committable(const struct offset_tracker *tracker)
{
    if (tracker->count > 0)
        return entry_at(tracker, 0)->offset;
    return tracker->next > 0 ? tracker->next : -1;
}
