#include "completion/kept_ends.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"

void kept_ends_add(struct kept_ends *ends, struct kept kept)
{
    if (ends->count == ends->capacity) {
        ends->capacity = ends->capacity ? ends->capacity * 2 : 64;
        ends->items = xrealloc(ends->items, ends->capacity * sizeof *ends->items);
    }
    ends->items[ends->count++] = kept;
}

size_t kept_ends_remove(struct kept_ends *ends, bool (*goes)(const struct kept *kept))
{
    size_t left = 0, before = ends->count;
    for (size_t i = 0; i < before; i++) {
        if (goes(&ends->items[i]))
            task_unref(ends->items[i].task);
        else
            ends->items[left++] = ends->items[i];
    }
    ends->count = left;
    return before - left;
}

void kept_ends_finish(struct kept_ends *ends)
{
    free(ends->items);
    *ends = (struct kept_ends){0};
}

void partitions_add(struct partitions *partitions, struct partition *partition)
{
    for (size_t i = 0; i < partitions->count; i++)
        if (partitions->items[i] == partition)
            return;
    if (partitions->count == partitions->capacity) {
        partitions->capacity = partitions->capacity ? partitions->capacity * 2 : 16;
        partitions->items = xrealloc(partitions->items, partitions->capacity * sizeof(struct partition *));
    }
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

static bool is_inside(const struct kept *kept)
{
    return kept->inside;
}

static bool is_admitted(const struct kept *kept)
{
    return kept->admitted;
}

/* The offsets of the partition's ends of which it is true, rising. */
static size_t collect(const struct kept_ends *ends, const struct partition *partition, bool (*is)(const struct kept *kept), int64_t *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < ends->count; i++)
        if (ends->items[i].task->partition == partition && is(&ends->items[i]))
            ret[n++] = ends->items[i].task->record.offset;
    qsort(ret, n, sizeof *ret, by_offset);
    return n;
}

/* What may enter by the rules that don't ask for the completed set. */
static void admit_in_order(struct kept_ends *ends, bool sealed, int64_t now_ms)
{
    bool company = false;
    for (size_t i = 0; i < ends->count; i++) {
        ends->items[i].admitted = false;
        company = company || ends->items[i].inside;
    }
    for (size_t i = 0; i < ends->count && !sealed; i++) {
        struct kept *kept = &ends->items[i];
        if (kept->inside || kept->not_before_ms > now_ms)
            continue;
        kept->admitted = !kept->alone || !company;
        if (kept->alone)
            break;
        company = true;
    }
}

/* All at once may fit where half doesn't: a set that is one run is small. */
static void limit(const struct kept_ends *ends, struct partition *partition)
{
    AUTO_FREE int64_t *with = xcalloc(2 * ends->count, sizeof *with);
    AUTO_FREE int64_t *fresh = xcalloc(ends->count, sizeof *fresh);
    size_t n = collect(ends, partition, is_admitted, fresh);
    size_t fit = n;
    for (; fit > 0; fit /= 2) {
        size_t inside = collect(ends, partition, is_inside, with);
        memcpy(with + inside, fresh, fit * sizeof *with);
        qsort(with, inside + fit, sizeof *with, by_offset);
        if (partition_set_fits(partition, with, inside + fit))
            break;
    }
    partition->admitted_below = fit == n ? INT64_MAX : fresh[fit];
}

void kept_ends_admit(struct kept_ends *ends, size_t room, bool sealed, int64_t now_ms)
{
    admit_in_order(ends, sealed, now_ms);
    for (size_t i = 0; i < ends->count; i++)
        ends->items[i].task->partition->admitted_below = INT64_MIN; /* not looked at yet */
    for (size_t i = 0; i < ends->count; i++) {
        struct kept *kept = &ends->items[i];
        struct partition *partition = kept->task->partition;
        if (!kept->admitted)
            continue;
        bool full = atomic_load(&partition->set_is_full);
        if (partition->admitted_below == INT64_MIN && full)
            limit(ends, partition);
        else if (partition->admitted_below == INT64_MIN)
            partition->admitted_below = INT64_MAX;
        kept->admitted = kept->task->record.offset < partition->admitted_below && (room > 0 || full);
        room -= kept->admitted && room > 0;
    }
}

bool shares_make(const struct kept_ends *ends, const struct partitions *offers, struct shares *ret)
{
    struct partitions partitions = {0};
    for (size_t i = 0; i < ends->count; i++)
        if (ends->items[i].inside)
            partitions_add(&partitions, ends->items[i].task->partition);
    for (size_t i = 0; i < offers->count; i++)
        if (!atomic_load(&offers->items[i]->revoked))
            partitions_add(&partitions, offers->items[i]);
    *ret = (struct shares){.items = xcalloc(partitions.count + 1, sizeof *ret->items), .offsets = xcalloc(ends->count + 1, sizeof *ret->offsets)};
    bool fits = true;
    int64_t *with = ret->offsets;
    for (size_t i = 0; i < partitions.count; i++) {
        struct share share = {.partition = partitions.items[i], .with = with};
        bool whole;
        share.n = collect(ends, share.partition, is_inside, with);
        with += share.n;
        share.offset = partition_committable_with(share.partition, share.with, share.n, &share.metadata, &whole);
        if (share.offset >= 0 && (whole || share.n > 0))
            ret->items[ret->count++] = share;
        else
            free(share.metadata); /* nothing new; or there is, and saying a part of it would unsay what stands */
        fits = fits && (whole || share.n == 0);
    }
    partitions_finish(&partitions); /* the ends and the offers hold them */
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
