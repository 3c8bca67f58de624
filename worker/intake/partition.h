/* One assignment of one partition: from a grant to its revocation. Granted again, it is another struct
 * with a higher generation, so that late results of the old one can't touch the new one's offsets.
 *
 * Counted references: the intake holds one, each job one. Any thread; its mutex is held briefly. */
#ifndef CHAT_INTAKE_PARTITION_H
#define CHAT_INTAKE_PARTITION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/mutex.h"
#include "intake/offset_tracker.h"

struct partition {
    char *topic;
    int32_t id;
    uint64_t generation;
    atomic_int references;
    atomic_bool revoked;      /* set once, before its jobs are dropped */
    atomic_int_fast64_t behind; /* its jobs that wait behind another of their lane; the dispatcher's */
    struct mutex lock;
    struct offset_tracker tracker; /* guarded by lock */
    uint64_t version;              /* the same: counts what changes a commit */

    /* Intake thread only. */
    bool paused;
    int64_t committed;          /* the last offset the broker accepted; -1: none */
    uint64_t said_version;      /* of the commit that was sent last */
    uint64_t committed_version; /* of the one that was accepted last */
    size_t metadata_max;        /* characters; less than OFFSET_TEXT_MAX once the broker refused as many */
    bool set_is_full;           /* the completed set is near it: no more is read until it has shrunk */
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
 * -1 when nothing is new since the last accepted commit. Intake thread; tells set_is_full. */
int64_t partition_committable(struct partition *partition, char **ret_metadata);
/* The broker's answer to the commit that was sent last. Intake thread. */
void partition_committed(struct partition *partition, int64_t offset);
void partition_metadata_refused(struct partition *partition); /* too large: less of it next time, then none */
void partition_revoke(struct partition *partition);

#endif
