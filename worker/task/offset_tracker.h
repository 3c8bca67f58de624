/* Which offsets of one partition are done: pure. Offsets enter in rising order (gaps are normal: transaction
 * markers, aborted records, compaction), finish in any order; the committable offset is the first that isn't
 * done, or the one after the last received when all are. The done offsets above it, the completed set, are stored in
 * the commit's metadata, and restored into the tracker of the next assignment.
 *
 * Only pending offsets are listed: below `next`, an offset that isn't pending is done or will never be a record. So memory
 * is bounded by the pending ones, however far others have run ahead of a stuck one.
 *
 * Invariants (docs/delivery-guarantees.md; tests/unit/test_offset_tracker.c):
 *  1. an offset below committable is done, or was never received in this assignment nor in an earlier one;
 *  2. committable never falls;
 *  3. an offset enters once;
 *  4. the completed set holds no offset that is pending, nor one that may still come as a new record;
 *  5. a record in the restored set is not handed out again, unless its leader epoch is later. */
#ifndef CHAT_TASK_OFFSET_TRACKER_H
#define CHAT_TASK_OFFSET_TRACKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "task/offset_runs.h"

struct offset_entry {
    int64_t offset;
    bool done;
};

struct offset_tracker {
    struct offset_entry *ring; /* pending offsets, and done ones not yet swept out */
    size_t capacity;           /* a power of two, or 0 */
    size_t first;
    size_t count, pending;
    int64_t next; /* the last received offset + 1; 0: nothing received */
    struct offset_runs restored; /* done in an earlier assignment; those below next aren't needed any more */
    int32_t restored_epoch;      /* their highest leader epoch; -1: not known, then a record of any epoch may be in the set */
    int32_t epoch;               /* the highest seen, the restored one included; -1: none */
};

#define OFFSET_TRACKER_EMPTY ((struct offset_tracker){.restored_epoch = -1, .epoch = -1})

enum offset_receipt {
    OFFSET_NEW,
    OFFSET_SEEN,       /* in this assignment: a rewound fetch; ignore the record */
    OFFSET_DONE_BEFORE /* done in an earlier assignment: it is in the restored set */
};

/* Sets the completed set from a commit's metadata, before the first receive. *runs is copied. */
void offset_tracker_restore(struct offset_tracker *tracker, const struct offset_runs *runs, int32_t leader_epoch);
void offset_tracker_finish(struct offset_tracker *tracker);
/* leader_epoch: the record's, -1 where the client doesn't know it. */
enum offset_receipt offset_tracker_receive(struct offset_tracker *tracker, int64_t offset, int32_t leader_epoch);
/* Does nothing for an unknown or done offset. O(log n), amortised O(1) to sweep. */
void offset_tracker_mark_done(struct offset_tracker *tracker, int64_t offset);
/* The offset to commit; -1: no record was received yet. */
int64_t offset_tracker_committable(const struct offset_tracker *tracker);
/* The completed set at and above committable, appended to *ret. */
void offset_tracker_completed(const struct offset_tracker *tracker, struct offset_runs *ret);

/* Both as if the offsets of `with` (rising, n of them; those that aren't pending are ignored) were done, too:
 * for a transaction, which may still be aborted. The tracker isn't changed; call offset_tracker_mark_done for each
 * once the commit has succeeded. */
int64_t offset_tracker_committable_with(const struct offset_tracker *tracker, const int64_t *with, size_t n);
void offset_tracker_completed_with(const struct offset_tracker *tracker, const int64_t *with, size_t n, struct offset_runs *ret);

#endif
