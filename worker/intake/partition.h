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
    bool paused;              /* intake thread only */
    int64_t committed;        /* intake thread only: the last offset the broker accepted; -1: none */
    struct mutex lock;
    struct offset_tracker tracker; /* guarded by lock */
};

struct partition *partition_create(const char *topic, int32_t id, uint64_t generation);
struct partition *partition_ref(struct partition *partition);
void partition_unref(struct partition *partition); /* NULL is fine */

/* False: seen before in this assignment. */
bool partition_receive(struct partition *partition, int64_t offset);
/* After a revoke nothing happens: the new owner decides. */
void partition_mark_done(struct partition *partition, int64_t offset);
/* The offset to commit, or -1 when nothing is new since `committed`. */
int64_t partition_committable(struct partition *partition);
void partition_revoke(struct partition *partition);

#endif
