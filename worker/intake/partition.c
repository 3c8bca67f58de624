#include "intake/partition.h"

#include <stdlib.h>

#include "base/alloc.h"

struct partition *partition_create(const char *topic, int32_t id, uint64_t generation)
{
    struct partition *partition = xcalloc(1, sizeof *partition);
    partition->topic = xstrdup(topic);
    partition->id = id;
    partition->generation = generation;
    partition->committed = -1;
    atomic_init(&partition->references, 1);
    mutex_init(&partition->lock);
    return partition;
}

struct partition *partition_ref(struct partition *partition)
{
    atomic_fetch_add(&partition->references, 1);
    return partition;
}

void partition_unref(struct partition *partition)
{
    if (partition == NULL || atomic_fetch_sub(&partition->references, 1) != 1)
        return;
    offset_tracker_finish(&partition->tracker);
    mutex_destroy(&partition->lock);
    free(partition->topic);
    free(partition);
}

bool partition_receive(struct partition *partition, int64_t offset)
{
    mutex_lock(&partition->lock);
    bool fresh = offset_tracker_receive(&partition->tracker, offset);
    mutex_unlock(&partition->lock);
    return fresh;
}

void partition_mark_done(struct partition *partition, int64_t offset)
{
    mutex_lock(&partition->lock);
    if (!atomic_load(&partition->revoked))
        offset_tracker_mark_done(&partition->tracker, offset);
    mutex_unlock(&partition->lock);
}

int64_t partition_committable(struct partition *partition)
{
    mutex_lock(&partition->lock);
    int64_t offset = offset_tracker_committable(&partition->tracker);
    /* The first one may be where the assignment began: said too, it outlives a change of auto.offset.reset. */
    bool moved = offset >= 0 && offset > partition->committed;
    mutex_unlock(&partition->lock);
    return moved ? offset : -1;
}

void partition_revoke(struct partition *partition)
{
    mutex_lock(&partition->lock);
    atomic_store(&partition->revoked, true);
    mutex_unlock(&partition->lock);
}
