#include "completion/txn_shares.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

void partitions_add(struct partitions *partitions, struct partition *partition)
{
    for (size_t i = 0; i < partitions->count; i++)
        if (partitions->items[i] == partition)
            return;
    partitions->items = xgrow(partitions->items, &partitions->capacity, partitions->count + 1, sizeof(struct partition *));
    partitions->items[partitions->count++] = partition_ref(partition);
}

void partitions_clear(struct partitions *partitions)
{
    for (size_t i = 0; i < partitions->count; i++)
        partition_unref(partitions->items[i]);
    partitions->count = 0;
}

void partitions_finish(struct partitions *partitions)
{
    partitions_clear(partitions);
    free(partitions->items);
    *partitions = (struct partitions){0};
}

static int by_offset(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

void offsets_sort(int64_t *offsets, size_t n)
{
    qsort(offsets, n, sizeof *offsets, by_offset);
}

size_t offsets_of(const struct task_list *list, const struct partition *partition, bool (*is)(const struct task *task), int64_t *ret)
{
    size_t n = 0;
    for (const struct task *task = list->first; task != NULL; task = task->next)
        if (task->partition == partition && (is == NULL || is(task)))
            ret[n++] = task->record.offset;
    offsets_sort(ret, n);
    return n;
}

bool shares_make(const struct end_queue *ends, const struct partitions *offers, struct shares *ret)
{
    struct partitions partitions = {0};
    for (const struct task *task = ends->sent.first; task != NULL; task = task->next)
        partitions_add(&partitions, task->partition);
    for (size_t i = 0; i < offers->count; i++)
        if (!atomic_load(&offers->items[i]->revoked))
            partitions_add(&partitions, offers->items[i]);
    *ret = (struct shares){.items = xcalloc(partitions.count + 1, sizeof *ret->items), .offsets = xcalloc(ends->sent.count + 1, sizeof *ret->offsets)};
    bool fits = true;
    int64_t *with = ret->offsets;
    for (size_t i = 0; i < partitions.count; i++) {
        struct share share = {.partition = partitions.items[i], .with = with};
        bool whole;
        share.n = offsets_of(&ends->sent, share.partition, NULL, with);
        with += share.n;
        share.offset = partition_committable_with(share.partition, share.with, share.n, &share.metadata, &whole);
        if (share.offset >= 0 && (whole || share.n > 0))
            ret->items[ret->count++] = share;
        else
            free(share.metadata); /* nothing new; or a part of the set only, which would overwrite a fuller one */
        fits = fits && (whole || share.n == 0);
    }
    partitions_finish(&partitions); /* the ends and the offers have references */
    return fits;
}

void shares_finish(struct shares *shares)
{
    for (size_t i = 0; i < shares->count; i++)
        free(shares->items[i].metadata);
    free(shares->items);
    free(shares->offsets);
    *shares = (struct shares){0};
}

bool shares_are_ours(const struct shares *shares, const char *member, struct stop *why)
{
    bool of_another = false;
    for (size_t i = 0; i < shares->count; i++) {
        const struct partition *partition = shares->items[i].partition;
        if (atomic_load(&partition->revoked)) {
            why->reason = STOP_REVOKED;
            error_set(&why->error, ERROR_CANCELLED, "revoked", "a partition went to another worker");
            return false;
        }
        of_another = of_another || (partition->member != NULL && strcmp(partition->member, member) != 0);
    }
    if (!of_another)
        return true;
    why->reason = STOP_NO_MEMBER;
    error_set(&why->error, ERROR_RETRIABLE, "another_member", "the group has this worker back as another member than the one that it gave the partitions to");
    return false;
}

rd_kafka_topic_partition_list_t *shares_to_kafka(const struct shares *shares)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)shares->count);
    for (size_t i = 0; i < shares->count; i++) {
        const struct share *share = &shares->items[i];
        rd_kafka_topic_partition_t *item = rd_kafka_topic_partition_list_add(list, share->partition->topic, share->partition->id);
        item->offset = share->offset;
        item->metadata = xstrdup(share->metadata); /* freed with the list */
        item->metadata_size = strlen(share->metadata);
    }
    return list;
}

void shares_metadata_refused(struct shares *shares)
{
    struct share *longest = NULL;
    for (size_t i = 0; i < shares->count; i++)
        if (longest == NULL || strlen(shares->items[i].metadata) > strlen(longest->metadata))
            longest = &shares->items[i];
    if (longest == NULL)
        return;
    do
        partition_metadata_refused(longest->partition);
    while (longest->partition->metadata_max >= strlen(longest->metadata) && longest->partition->metadata_max > 0);
    atomic_store(&longest->partition->set_is_full, true);
}
