#include "intake/grants.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "telemetry/metrics.h"

struct partition *grants_find(const struct grants *grants, const char *topic, int32_t id)
{
    struct partition *partition = id >= 0 && (size_t)id < grants->ids ? grants->by_id[id] : NULL;
    return partition != NULL && strcmp(partition->topic, topic) == 0 ? partition : NULL;
}

static void make_room(struct grants *grants, size_t id)
{
    size_t ids = grants->ids;
    grants->partitions = xgrow(grants->partitions, &grants->capacity, grants->count + 1, sizeof(struct partition *));
    grants->by_id = xgrow(grants->by_id, &grants->ids, id + 1, sizeof(struct partition *));
    memset(grants->by_id + ids, 0, (grants->ids - ids) * sizeof(struct partition *));
}

struct partition *grants_add(struct grants *grants, const char *topic, int32_t id)
{
    struct partition *partition = grants_find(grants, topic, id);
    if (partition != NULL)
        return partition;
    assert(id >= 0);
    make_room(grants, (size_t)id);
    assert(grants->by_id[id] == NULL);
    partition = partition_create(topic, id, ++grants->generation);
    partition->index = grants->count;
    grants->partitions[grants->count++] = grants->by_id[id] = partition;
    return partition;
}

void grants_forget(struct grants *grants, struct partition *partition)
{
    assert(grants->partitions[partition->index] == partition);
    if (partition->full_told)
        METRIC_ADD(partitions_set_full, -1);
    struct partition *last = grants->partitions[--grants->count];
    grants->partitions[partition->index] = last;
    last->index = partition->index;
    grants->by_id[partition->id] = NULL;
    partition_unref(partition);
}

void grants_finish(struct grants *grants)
{
    for (size_t i = 0; i < grants->count; i++)
        partition_unref(grants->partitions[i]);
    free(grants->partitions);
    free(grants->by_id);
    *grants = (struct grants){0};
}
