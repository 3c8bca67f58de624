#include "task/offset_runs.h"

#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"

void offset_runs_append(struct offset_runs *runs, int64_t from, int64_t to)
{
    if (from >= to)
        return;
    struct offset_run *last = runs->count > 0 ? &runs->items[runs->count - 1] : NULL;
    assert(last == NULL || from >= last->to);
    if (last != NULL && from == last->to) {
        last->to = to;
        return;
    }
    runs->items = xgrow(runs->items, &runs->capacity, runs->count + 1, sizeof *runs->items);
    runs->items[runs->count++] = (struct offset_run){from, to};
}

bool offset_runs_contain(const struct offset_runs *runs, int64_t offset)
{
    size_t low = 0;
    size_t high = runs->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (runs->items[middle].to <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low < runs->count && runs->items[low].from <= offset;
}

int64_t offset_runs_total(const struct offset_runs *runs)
{
    int64_t total = 0;
    for (size_t i = 0; i < runs->count; i++)
        total += runs->items[i].to - runs->items[i].from;
    return total;
}

int64_t offset_runs_end(const struct offset_runs *runs)
{
    return runs->count > 0 ? runs->items[runs->count - 1].to : 0;
}

void offset_runs_clear(struct offset_runs *runs)
{
    runs->count = 0;
}

void offset_runs_finish(struct offset_runs *runs)
{
    free(runs->items);
    *runs = (struct offset_runs){0};
}
