#include "task/offset_tracker.h"

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

static void sweep(struct offset_tracker *tracker)
{
    size_t kept = 0;
    for (size_t i = 0; i < tracker->count; i++)
        if (!entry_at(tracker, i)->done)
            *entry_at(tracker, kept++) = *entry_at(tracker, i);
    tracker->count = kept;
}

void offset_tracker_restore(struct offset_tracker *tracker, const struct offset_runs *runs, int32_t leader_epoch)
{
    offset_runs_clear(&tracker->restored);
    for (size_t i = 0; i < runs->count; i++)
        offset_runs_append(&tracker->restored, runs->items[i].from, runs->items[i].to);
    tracker->restored_epoch = leader_epoch;
    tracker->epoch = leader_epoch;
}

void offset_tracker_finish(struct offset_tracker *tracker)
{
    offset_runs_finish(&tracker->restored);
    free(tracker->ring);
    *tracker = OFFSET_TRACKER_EMPTY;
}

enum offset_receipt offset_tracker_receive(struct offset_tracker *tracker, int64_t offset, int32_t leader_epoch)
{
    if (offset < tracker->next)
        return OFFSET_SEEN;
    tracker->next = offset + 1;
    if (tracker->restored.count > 0 && tracker->restored_epoch >= 0 && leader_epoch > tracker->restored_epoch) {
        /* The log was written anew from here on: the earlier records at these offsets don't exist any more. */
        offset_runs_clear(&tracker->restored);
    }
    if (leader_epoch > tracker->epoch)
        tracker->epoch = leader_epoch;
    if (offset_runs_contain(&tracker->restored, offset))
        return OFFSET_DONE_BEFORE;
    if (tracker->count == tracker->capacity && tracker->pending <= tracker->count / 2)
        sweep(tracker);
    if (tracker->count == tracker->capacity)
        grow(tracker);
    tracker->count++;
    tracker->pending++;
    *entry_at(tracker, tracker->count - 1) = (struct offset_entry){.offset = offset};
    return OFFSET_NEW;
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
    if (low == tracker->count || entry_at(tracker, low)->offset != offset || entry_at(tracker, low)->done)
        return;
    entry_at(tracker, low)->done = true;
    tracker->pending--;
    while (tracker->count > 0 && entry_at(tracker, 0)->done) {
        tracker->first = (tracker->first + 1) & (tracker->capacity - 1);
        tracker->count--;
    }
}

/* The index of the first entry from `from` on that is pending and not in `with`; count: there is none. *at is the position in
 * `with`, which is sorted like the entries. */
static size_t next_pending(const struct offset_tracker *tracker, size_t from, const int64_t *with, size_t n, size_t *at)
{
    for (size_t i = from; i < tracker->count; i++) {
        const struct offset_entry *entry = entry_at(tracker, i);
        if (entry->done)
            continue;
        while (*at < n && with[*at] < entry->offset)
            ++*at;
        if (*at == n || with[*at] != entry->offset)
            return i;
    }
    return tracker->count;
}

int64_t offset_tracker_committable_with(const struct offset_tracker *tracker, const int64_t *with, size_t n)
{
    size_t at = 0;
    size_t first = next_pending(tracker, 0, with, n, &at);
    if (first < tracker->count)
        return entry_at(tracker, first)->offset;
    return tracker->next > 0 ? tracker->next : -1;
}

void offset_tracker_completed_with(const struct offset_tracker *tracker, const int64_t *with, size_t n, struct offset_runs *ret)
{
    if (tracker->next == 0)
        return;
    size_t in_with = 0;
    int64_t at = offset_tracker_committable_with(tracker, with, n);
    for (size_t i = next_pending(tracker, 0, with, n, &in_with); i < tracker->count; i = next_pending(tracker, i + 1, with, n, &in_with)) {
        offset_runs_append(ret, at, entry_at(tracker, i)->offset);
        at = entry_at(tracker, i)->offset + 1;
    }
    offset_runs_append(ret, at, tracker->next);
    /* Offsets of the restored set that weren't received yet. */
    for (size_t i = 0; i < tracker->restored.count; i++) {
        const struct offset_run *run = &tracker->restored.items[i];
        offset_runs_append(ret, run->from > tracker->next ? run->from : tracker->next, run->to);
    }
}

int64_t offset_tracker_committable(const struct offset_tracker *tracker)
{
    return offset_tracker_committable_with(tracker, NULL, 0);
}

void offset_tracker_completed(const struct offset_tracker *tracker, struct offset_runs *ret)
{
    offset_tracker_completed_with(tracker, NULL, 0, ret);
}
