#include "intake/partition.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "intake/offset_codec.h"

#define METADATA_LEAST 64 /* characters: less says next to nothing */

struct partition *partition_create(const char *topic, int32_t id, uint64_t generation)
{
    struct partition *partition = xcalloc(1, sizeof *partition);
    partition->topic = xstrdup(topic);
    partition->id = id;
    partition->generation = generation;
    partition->committed = -1;
    partition->metadata_max = OFFSET_TEXT_MAX;
    partition->tracker = OFFSET_TRACKER_EMPTY;
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

void partition_restore(struct partition *partition, const struct offset_runs *runs, int32_t leader_epoch)
{
    mutex_lock(&partition->lock);
    offset_tracker_restore(&partition->tracker, runs, leader_epoch);
    mutex_unlock(&partition->lock);
}

enum offset_receipt partition_receive(struct partition *partition, int64_t offset, int32_t leader_epoch)
{
    mutex_lock(&partition->lock);
    enum offset_receipt receipt = offset_tracker_receive(&partition->tracker, offset, leader_epoch);
    partition->version += receipt == OFFSET_DONE_BEFORE;
    mutex_unlock(&partition->lock);
    return receipt;
}

void partition_mark_done(struct partition *partition, int64_t offset)
{
    mutex_lock(&partition->lock);
    if (!atomic_load(&partition->revoked)) {
        offset_tracker_mark_done(&partition->tracker, offset);
        partition->version++;
    }
    mutex_unlock(&partition->lock);
}

/* Near the limit the partition reads no more, since what is under way still lets the set grow; far below it, it does. */
static void note_size(struct partition *partition, const struct offset_text *text)
{
    size_t size = strlen(text->text);
    if (!text->whole || size > partition->metadata_max * 3 / 4)
        partition->set_is_full = true;
    else if (size <= partition->metadata_max / 2)
        partition->set_is_full = false;
}

int64_t partition_committable(struct partition *partition, char **ret_metadata)
{
    struct offset_runs runs = {0};
    mutex_lock(&partition->lock);
    int64_t offset = offset_tracker_committable(&partition->tracker);
    int32_t epoch = partition->tracker.epoch;
    uint64_t version = partition->version;
    /* The first one may be where the assignment began: said too, it outlives a change of auto.offset.reset. */
    bool news = offset >= 0 && (offset > partition->committed || version != partition->committed_version);
    if (news)
        offset_tracker_completed(&partition->tracker, &runs);
    mutex_unlock(&partition->lock);
    if (!news)
        return -1;
    struct offset_text text = offset_encode(offset, &runs, epoch, partition->metadata_max);
    offset_runs_finish(&runs);
    note_size(partition, &text);
    partition->said_version = version;
    *ret_metadata = text.text;
    return offset;
}

void partition_committed(struct partition *partition, int64_t offset)
{
    if (offset > partition->committed)
        partition->committed = offset;
    partition->committed_version = partition->said_version;
}

void partition_metadata_refused(struct partition *partition)
{
    partition->metadata_max /= 2;
    if (partition->metadata_max < METADATA_LEAST)
        partition->metadata_max = 0;
}

void partition_revoke(struct partition *partition)
{
    mutex_lock(&partition->lock);
    atomic_store(&partition->revoked, true);
    mutex_unlock(&partition->lock);
}
