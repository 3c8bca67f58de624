#include "intake/grants.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "ops/metrics.h"

struct partition *grants_find(const struct grants *grants, const char *topic, int32_t id)
{
    for (size_t i = 0; i < grants->count; i++)
        if (grants->partitions[i]->id == id && strcmp(grants->partitions[i]->topic, topic) == 0)
            return grants->partitions[i];
    return NULL;
}

void grants_add(struct grants *grants, const char *topic, int32_t id)
{
    if (grants_find(grants, topic, id) != NULL)
        return;
    grants->partitions = xrealloc(grants->partitions, (grants->count + 1) * sizeof *grants->partitions);
    grants->partitions[grants->count++] = partition_create(topic, id, ++grants->generation);
}

void grants_forget(struct grants *grants, struct partition *partition)
{
    for (size_t i = 0; i < grants->count; i++) {
        if (grants->partitions[i] != partition)
            continue;
        if (partition->full_told)
            METRIC_ADD(partitions_set_full, -1);
        grants->partitions[i] = grants->partitions[--grants->count];
        partition_unref(partition);
        return;
    }
}

void grants_finish(struct grants *grants)
{
    for (size_t i = 0; i < grants->count; i++)
        partition_unref(grants->partitions[i]);
    free(grants->partitions);
    *grants = (struct grants){0};
}
