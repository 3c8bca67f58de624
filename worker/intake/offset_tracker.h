/* Which offsets of one partition are done: pure. Offsets enter in rising order (gaps are normal:
 * transaction markers, compaction), finish in any order; the committable offset is the first that isn't
 * done, or the one after the last received when all are.
 *
 * Invariants (tests/unit/test_offset_tracker.c): 1. an offset below committable is done or was never
 * received; 2. committable never falls; 3. an offset enters once. */
#ifndef CHAT_INTAKE_OFFSET_TRACKER_H
#define CHAT_INTAKE_OFFSET_TRACKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct offset_entry {
    int64_t offset;
    bool done;
};

/* All-zero is an empty tracker. A ring of what was received and isn't yet below committable. */
struct offset_tracker {
    struct offset_entry *ring;
    size_t capacity; /* a power of two, or 0 */
    size_t first;
    size_t count;
    int64_t next; /* the last received offset + 1; 0: nothing received */
};

void offset_tracker_finish(struct offset_tracker *tracker);
/* False: seen before (a rewound fetch), ignore the record. */
bool offset_tracker_receive(struct offset_tracker *tracker, int64_t offset);
/* Unknown or repeated: nothing happens. O(log n) and amortised O(1) to advance. */
void offset_tracker_mark_done(struct offset_tracker *tracker, int64_t offset);
/* What a commit may say; -1: nothing was received yet. */
int64_t offset_tracker_committable(const struct offset_tracker *tracker);

#endif
