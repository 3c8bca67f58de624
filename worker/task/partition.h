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

/* The partition's jobs that wait in the dispatcher (dispatch/waiting_tasks.h). */
struct waiting_in_assignment {
    struct task *first, *last;
    struct partition *prev, *next; /* other assignments with waiting jobs */
};

struct partition {
    char *topic;
    int32_t id;
    uint64_t generation;
    char *member; /* the member id that it was assigned to, set before other threads see it; NULL: not known */
    atomic_int references;
    atomic_bool revoked;      /* set once, before its jobs are dropped */
    atomic_bool orphaned;     /* set once: its log was replaced, so its jobs go on and no offset is committed */
    atomic_int_fast64_t behind; /* its jobs that wait behind another of their lane; the dispatcher's */
    struct waiting_in_assignment waiting; /* the dispatcher's, under its lock */
    struct mutex lock;
    struct offset_tracker tracker; /* guarded by lock */
    uint64_t version;              /* by lock: counts changes of what a commit contains */

    int64_t committed;             /* by lock: the last offset the broker accepted; -1: none */
    uint64_t committed_version;    /* by lock: of the last accepted commit */

    /* The thread that commits only: the intake, or with exactly-once the publisher's. */
    uint64_t said_version;   /* of the last commit sent */
    size_t metadata_max;     /* characters; less than OFFSET_TEXT_MAX once the broker has refused that many */
    int64_t admitted_below;  /* publisher_txn's: ends of offsets from here on wait, or the completed set wouldn't fit into a commit */
    atomic_bool set_is_full; /* the completed set is near metadata_max: no more records are read until it has shrunk */

    /* Intake thread only. */
    size_t index; /* assignments.c's */
    bool begun;   /* its start offset is known, and librdkafka fetches it; false before, or while it is paused for that: rebalance.h */
    bool leaving; /* being revoked: running jobs and the last commit are waited for: rebalance.h */
    bool paused;
    int64_t next; /* the position: behind the last record; before the first record the start, also librdkafka's END or INVALID */
    int32_t next_epoch; /* the leader epoch of the last record; -1: unknown */
    int32_t broker;     /* the id of the broker that the last record came from; -1: unknown */
    bool full_reported; /* set_is_full, as last logged and counted */
    /* The same, liveness.c's: the first offset that isn't done and since when, how its job is and since when (enum head_state; -1:
     * unknown), and that as its claim has it (-1: it has none). */
    int64_t head, head_since_ms, head_state_since_ms;
    int head_state, head_claim;
};

struct partition *partition_create(const char *topic, int32_t id, uint64_t generation);
struct partition *partition_ref(struct partition *partition);
void partition_unref(struct partition *partition); /* NULL is fine */

/* Restores the completed set of the last commit; before the first record. */
void partition_restore(struct partition *partition, const struct offset_runs *runs, int32_t leader_epoch);
enum offset_receipt partition_receive(struct partition *partition, int64_t offset, int32_t leader_epoch);
/* Does nothing after a revoke: the new owner decides. */
void partition_mark_done(struct partition *partition, int64_t offset);
/* The offset to commit, with the completed set above it as *ret_metadata (owned by the caller; "" for none), or
 * -1 when nothing is new since the last accepted commit. The thread that commits; sets set_is_full. */
int64_t partition_committable(struct partition *partition, char **ret_metadata);
/* partition_committable for a transaction that also contains the ends of the offsets `with` (rising, n of them), which are done only when
 * it is committed. *ret_whole false: the completed set doesn't fit into the metadata. */
int64_t partition_committable_with(struct partition *partition, const int64_t *with, size_t n, char **ret_metadata, bool *ret_whole);
/* Would the completed set fit into the metadata? Any n. The thread that commits. */
bool partition_set_fits(struct partition *partition, const int64_t *with, size_t n);
/* The first offset received that isn't done; -1: none. Any thread. */
int64_t partition_head(struct partition *partition);
/* Is anything new to commit since the last accepted commit? Any thread. */
bool partition_has_news(struct partition *partition);
/* The broker has accepted the last commit sent. The thread that commits. */
void partition_committed(struct partition *partition, int64_t offset);
/* partition_committed, and the offsets of the transaction's ends are done, unless the partition is revoked. */
void partition_committed_with(struct partition *partition, int64_t offset, const int64_t *with, size_t n);
void partition_metadata_refused(struct partition *partition); /* too large: shorter next time, in the end none */
void partition_revoke(struct partition *partition);
void partition_orphan(struct partition *partition);

#endif
