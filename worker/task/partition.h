/* One assignment of one partition: from its start to its revocation. Assigned again, it is another struct
 * with a higher generation, so that late results of the old one can't touch the new one's offsets.
 *
 * Counted references: the intake holds one, each job one. Any thread; its mutex is held briefly. */
#ifndef CHAT_TASK_PARTITION_H
#define CHAT_TASK_PARTITION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/mutex.h"
#include "task/offset_tracker.h"

struct task;

/* Its jobs that wait with the dispatcher (dispatch/waiting_tasks.h). */
struct waiting_in_assignment {
    struct task *first, *last;
    struct partition *prev, *next; /* the other assignments that have any */
};

struct partition {
    char *topic;
    int32_t id;
    uint64_t generation;
    char *member; /* the member id that the group gave it to, set before anybody else sees it; NULL: not looked at */
    atomic_int references;
    atomic_bool revoked;      /* set once, before its jobs are dropped */
    atomic_bool orphaned;     /* set once: its log is gone, so its jobs go on and nothing of it is committed */
    atomic_int_fast64_t behind; /* its jobs that wait behind another of their lane; the dispatcher's */
    struct waiting_in_assignment waiting; /* the dispatcher's, under its lock */
    struct mutex lock;
    struct offset_tracker tracker; /* guarded by lock */
    uint64_t version;              /* the same: counts what changes a commit */

    int64_t committed;             /* the same: the last offset the broker accepted; -1: none */
    uint64_t committed_version;    /* the same: of the commit that was accepted last */

    /* The thread that commits only: the intake, or with exactly-once the publisher's. */
    uint64_t said_version;   /* of the commit that was sent last */
    size_t metadata_max;     /* characters; less than OFFSET_TEXT_MAX once the broker refused as many */
    int64_t admitted_below;  /* publisher_txn's: ends of offsets from here on wait, lest the completed set outgrow a commit */
    atomic_bool set_is_full; /* the completed set is near metadata_max: no more is read until it has shrunk */

    /* Intake thread only. */
    size_t index; /* assignments.c's */
    bool begun;   /* it is known where the assignment begins, and librdkafka reads it; not yet, or not now: rebalance.h */
    bool leaving; /* revoked, but for what still runs and its commit: rebalance.h */
    bool paused;
    int64_t next; /* where reading goes on: behind the record that came last; before the first the assignment's, also librdkafka's END or INVALID */
    int32_t next_epoch; /* the leader epoch of the record that came last; -1: unknown */
    bool full_reported; /* set_is_full, as log and metrics know it */
    /* The same, liveness.c's: the first offset that isn't done and since when, how its job is and since when (enum head_state; -1:
     * unknown), and that as its claim has it (-1: it has none). */
    int64_t head, head_since_ms, head_state_since_ms;
    int head_state, head_claim;
};

struct partition *partition_create(const char *topic, int32_t id, uint64_t generation);
struct partition *partition_ref(struct partition *partition);
void partition_unref(struct partition *partition); /* NULL is fine */

/* The completed set that the last commit carried; before the first record. */
void partition_restore(struct partition *partition, const struct offset_runs *runs, int32_t leader_epoch);
enum offset_receipt partition_receive(struct partition *partition, int64_t offset, int32_t leader_epoch);
/* After a revoke nothing happens: the new owner decides. */
void partition_mark_done(struct partition *partition, int64_t offset);
/* The offset to commit, with the completed set above it as *ret_metadata (owned by the caller; "" for none), or
 * -1 when nothing is new since the last accepted commit. The thread that commits; tells set_is_full. */
int64_t partition_committable(struct partition *partition, char **ret_metadata);
/* The same for a transaction that also holds the ends of the offsets `with` (rising, n of them), which aren't done unless
 * it is committed. *ret_whole false: not all that is done fits into the metadata. */
int64_t partition_committable_with(struct partition *partition, const int64_t *with, size_t n, char **ret_metadata, bool *ret_whole);
/* Would it fit? Any n. The thread that commits. */
bool partition_set_fits(struct partition *partition, const int64_t *with, size_t n);
/* The first offset received that isn't done; -1: none. Any thread. */
int64_t partition_head(struct partition *partition);
/* Is there anything to say since the last accepted commit? Any thread. */
bool partition_has_news(struct partition *partition);
/* The broker's answer to the commit that was sent last. The thread that commits. */
void partition_committed(struct partition *partition, int64_t offset);
/* The same, and what the transaction held is done from now on; after a revoke nothing happens. */
void partition_committed_with(struct partition *partition, int64_t offset, const int64_t *with, size_t n);
void partition_metadata_refused(struct partition *partition); /* too large: less of it next time, then none */
void partition_revoke(struct partition *partition);
void partition_orphan(struct partition *partition);

#endif
