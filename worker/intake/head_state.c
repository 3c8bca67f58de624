#include "intake/head_state.h"

#include <stdio.h>

#include "dispatch/dispatcher.h"
#include "dispatch/dispatcher_waiting.h"
#include "session/held_claims.h"

static const char *const state_names[] = {
    [HEAD_LANE] = "waits behind another job of its session", [HEAD_LINE] = "waits to be begun",
    [HEAD_SUSPECT] = "waits for its turn as a suspect",      [HEAD_TIMER] = "waits for a retry, a claim or a permit",
    [HEAD_READY] = "waits for a thread",                     [HEAD_RUNNING] = "runs",
    [HEAD_TELLING] = "has ended, and Redis isn't told",      [HEAD_REFUSED] = "has ended, and Redis refuses to be told",
    [HEAD_ENDING] = "a job's end isn't acknowledged"};

const char *head_state_name(enum head_state state)
{
    return state_names[state];
}

static enum head_state state_of_place(enum task_place place)
{
    switch (place) {
    case PLACE_LANE: return HEAD_LANE;
    case PLACE_LINE: return HEAD_LINE;
    case PLACE_SUSPECT: return HEAD_SUSPECT;
    case PLACE_TIMER: return HEAD_TIMER;
    case PLACE_READY: return HEAD_READY;
    default: return HEAD_ENDING;
    }
}

enum head_state head_state_of_claim(const struct task *task)
{
    if (atomic_load(&task->held->running_ms) != 0)
        return HEAD_RUNNING;
    return atomic_load(&task->refused) ? HEAD_REFUSED : HEAD_TELLING;
}

enum head_state head_state_unclaimed(const struct service *service, const struct partition *partition, int64_t offset, char *job, size_t size)
{
    enum head_state state = state_of_place(dispatcher_find(service->dispatcher, partition, offset, job, size));
    /* It waits for other jobs' ends, so it is judged as they are. */
    return state == HEAD_LINE && dispatcher_waits_for_ends(service->dispatcher) ? HEAD_ENDING : state;
}

struct wanted {
    const struct partition *partition;
    int64_t offset;
    char *job;
    size_t size;
    bool found;
    enum head_state state;
};

static void find_claim(const struct task *task, void *arg)
{
    struct wanted *wanted = arg;
    if (task->partition != wanted->partition || task->record.offset != wanted->offset)
        return;
    wanted->found = true;
    wanted->state = head_state_of_claim(task);
    snprintf(wanted->job, wanted->size, "%s", task->job.id);
}

enum head_state head_state_find(const struct service *service, const struct partition *partition, int64_t offset, char *job, size_t size)
{
    struct wanted wanted = {.partition = partition, .offset = offset, .job = job, .size = size};
    held_claims_each(service->claims, find_claim, &wanted);
    return wanted.found ? wanted.state : head_state_unclaimed(service, partition, offset, job, size);
}
