#include "task/task_part.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>

#include "telemetry/metrics.h"

/* The allocator's own size of the block: the caller that frees a part may not know its type. */
static int64_t charge_of(void *part)
{
    return (int64_t)(malloc_usable_size(part) + sizeof(size_t));
}

void *task_part_make(size_t size)
{
    void *part = xzalloc(size);
    METRIC_ADD(jobs_alive_bytes, charge_of(part));
    return part;
}

void task_part_free(void *part)
{
    if (part == NULL)
        return;
    METRIC_ADD(jobs_alive_bytes, -charge_of(part));
    free(part);
}
