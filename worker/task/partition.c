#include "task/partition.h"

#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "task/offset_codec.h"

#define METADATA_LEAST 64 /* characters: less holds next to no runs */

struct partition *partition_create(const char *topic, int32_t id, uint64_t generation)
{
    struct partition *partition = xcalloc(1, sizeof *partition);
    partition->topic = xstrdup(topic);
    partition->id = id;
    partition->generation = generation;
    partition->committed = partition->head = -1;
    partition->next = RD_KAFKA_OFFSET_INVALID;
    partition->next_epoch = partition->broker = -1;
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
    free(partition->member);
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

/* Near the limit the partition is read no more, since jobs under way still let the set grow; far below it, it is read again. */
static void note_size(struct partition *partition, const struct offset_text *text)
{
    size_t size = strlen(text->text);
    if (!text->whole || size > partition->metadata_max * 3 / 4)
        atomic_store(&partition->set_is_full, true);
    else if (size <= partition->metadata_max / 2)
        atomic_store(&partition->set_is_full, false);
}

/* The first offset may be where the assignment began: committed too, it outlives a change of auto.offset.reset. */
static bool is_news_locked(const struct partition *partition, int64_t offset)
{
    return offset >= 0 && !atomic_load(&partition->orphaned) && (offset > partition->committed || partition->version != partition->committed_version);
}

static struct offset_text encode(struct partition *partition, const int64_t *with, size_t n, int64_t *ret_offset, uint64_t *ret_version, bool *ret_news)
{
    struct offset_runs runs = {0};
    mutex_lock(&partition->lock);
    int64_t offset = offset_tracker_committable_with(&partition->tracker, with, n);
    int32_t epoch = partition->tracker.epoch;
    *ret_version = partition->version;
    *ret_news = offset >= 0 && !atomic_load(&partition->orphaned) && (n > 0 || is_news_locked(partition, offset));
    if (*ret_news)
        offset_tracker_completed_with(&partition->tracker, with, n, &runs);
    mutex_unlock(&partition->lock);
    *ret_offset = offset;
    struct offset_text text = {.whole = true};
    if (*ret_news)
        text = offset_encode(offset, &runs, epoch, partition->metadata_max);
    offset_runs_finish(&runs);
    return text;
}

int64_t partition_committable_with(struct partition *partition, const int64_t *with, size_t n, char **ret_metadata, bool *ret_whole)
{
    int64_t offset;
    uint64_t version;
    bool news;
    struct offset_text text = encode(partition, with, n, &offset, &version, &news);
    *ret_whole = text.whole;
    if (!news)
        return -1;
    note_size(partition, &text);
    partition->said_version = version;
    *ret_metadata = text.text;
    return offset;
}

int64_t partition_committable(struct partition *partition, char **ret_metadata)
{
    bool whole;
    return partition_committable_with(partition, NULL, 0, ret_metadata, &whole);
}

bool partition_set_fits(struct partition *partition, const int64_t *with, size_t n)
{
    int64_t offset;
    uint64_t version;
    bool news;
    struct offset_text text = encode(partition, with, n, &offset, &version, &news);
    free(text.text);
    return text.whole;
}

int64_t partition_head(struct partition *partition)
{
    mutex_lock(&partition->lock);
    int64_t head = partition->tracker.pending > 0 ? offset_tracker_committable(&partition->tracker) : -1;
    mutex_unlock(&partition->lock);
    return head;
}

bool partition_has_news(struct partition *partition)
{
    mutex_lock(&partition->lock);
    bool news = is_news_locked(partition, offset_tracker_committable(&partition->tracker));
    mutex_unlock(&partition->lock);
    return news;
}

void partition_committed_with(struct partition *partition, int64_t offset, const int64_t *with, size_t n)
{
    mutex_lock(&partition->lock);
    for (size_t i = 0; i < n && !atomic_load(&partition->revoked); i++)
        offset_tracker_mark_done(&partition->tracker, with[i]);
    if (offset > partition->committed)
        partition->committed = offset;
    partition->committed_version = partition->said_version;
    mutex_unlock(&partition->lock);
}

void partition_committed(struct partition *partition, int64_t offset)
{
    partition_committed_with(partition, offset, NULL, 0);
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

void partition_orphan(struct partition *partition)
{
    mutex_lock(&partition->lock);
    atomic_store(&partition->orphaned, true);
    mutex_unlock(&partition->lock);
}
