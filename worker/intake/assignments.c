#include "intake/assignments.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "telemetry/metrics.h"

struct partition *assignments_find(const struct assignments *assignments, const char *topic, int32_t id)
{
    struct partition *partition = id >= 0 && (size_t)id < assignments->ids ? assignments->by_id[id] : NULL;
    return partition != NULL && strcmp(partition->topic, topic) == 0 ? partition : NULL;
}

static void make_room(struct assignments *assignments, size_t id)
{
    size_t ids = assignments->ids;
    assignments->partitions = xgrow(assignments->partitions, &assignments->capacity, assignments->count + 1, sizeof(struct partition *));
    assignments->by_id = xgrow(assignments->by_id, &assignments->ids, id + 1, sizeof(struct partition *));
    memset(assignments->by_id + ids, 0, (assignments->ids - ids) * sizeof(struct partition *));
}

struct partition *assignments_add(struct assignments *assignments, const char *topic, int32_t id)
{
    struct partition *partition = assignments_find(assignments, topic, id);
    if (partition != NULL)
        return partition;
    assert(id >= 0);
    make_room(assignments, (size_t)id);
    assert(assignments->by_id[id] == NULL);
    partition = partition_create(topic, id, ++assignments->generation);
    partition->member = assignments->member != NULL ? xstrdup(assignments->member) : NULL;
    partition->index = assignments->count;
    assignments->partitions[assignments->count++] = assignments->by_id[id] = partition;
    return partition;
}

bool assignments_note_member(struct assignments *assignments, const char *member)
{
    if (assignments->member != NULL && strcmp(assignments->member, member) == 0)
        return false;
    bool another = assignments->member != NULL;
    free(assignments->member);
    assignments->member = xstrdup(member);
    return another;
}

void assignments_forget(struct assignments *assignments, struct partition *partition)
{
    assert(assignments->partitions[partition->index] == partition);
    if (partition->full_reported)
        METRIC_ADD(partitions_set_full, -1);
    struct partition *last = assignments->partitions[--assignments->count];
    assignments->partitions[partition->index] = last;
    last->index = partition->index;
    assignments->by_id[partition->id] = NULL;
    partition_unref(partition);
}

void assignments_finish(struct assignments *assignments)
{
    for (size_t i = 0; i < assignments->count; i++)
        partition_unref(assignments->partitions[i]);
    free(assignments->partitions);
    free(assignments->by_id);
    free(assignments->member);
    *assignments = (struct assignments){0};
}
