#include "intake/liveness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "breakers/weather.h"
#include "dispatch/dispatcher.h"
#include "intake/group_watch.h"
#include "session/held_claims.h"
#include "telemetry/metrics.h"

#define LOOK_EVERY_MS_MIN 500
#define LOOK_EVERY_MS_MAX 5000
#define ASK_EVERY_MS_MAX 30000

static const char *const state_names[] = {
    [HEAD_LANE] = "waits behind another job of its session", [HEAD_LINE] = "waits to be begun",
    [HEAD_SUSPECT] = "waits for its turn as a suspect",      [HEAD_TIMER] = "waits for a retry, a claim or a permit",
    [HEAD_READY] = "waits for a thread",                     [HEAD_RUNNING] = "runs",
    [HEAD_TELLING] = "has ended, and Redis isn't told",      [HEAD_REFUSED] = "has ended, and Redis refuses to be told",
    [HEAD_ENDING] = "a job's end isn't acknowledged"};

struct liveness {
    const struct service *service;
    rd_kafka_t *consumer;
    struct group_watch *watch;
    int64_t bound_ms;
    int64_t look_every_ms, next_ms;
    uint64_t answer; /* of the watch: the last that was compared */
    int64_t unassigned_since_ms; /* something the group gave us isn't fetched; 0: all is */
    char unassigned[160];
    uint64_t moves;        /* of claims, as last seen */
    int64_t still_since_ms;

    struct mutex lock; /* guards the verdict */
    char why[320];     /* empty: it moves */
};

/* ---- the rules ---- */

const char *liveness_state_name(enum head_state state)
{
    return state_names[state];
}

bool liveness_is_excused(const struct liveness_view *view)
{
    switch (view->state) {
    case HEAD_SUSPECT:
    case HEAD_TIMER:
    case HEAD_REFUSED:
        return true;
    case HEAD_LANE:
    case HEAD_LINE:
    case HEAD_READY:
        return view->redis_is_away || view->is_held_back;
    case HEAD_TELLING:
    case HEAD_ENDING:
        return view->redis_is_away;
    case HEAD_RUNNING:
        break;
    }
    return false;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

bool liveness_is_stuck(const struct liveness_view *view, int64_t bound_ms, int64_t call_ms)
{
    if (liveness_is_excused(view))
        return false;
    switch (view->state) {
    case HEAD_RUNNING:
        return view->running_ms >= bound_ms + call_ms;
    case HEAD_TELLING:
        return view->in_state_ms >= bound_ms + LIVENESS_ACKNOWLEDGE_MS;
    case HEAD_ENDING:
        return least(view->in_state_ms, view->broker_answers_ms) >= bound_ms + LIVENESS_ACKNOWLEDGE_MS;
    default:
        return least(view->in_state_ms, view->still_ms) >= bound_ms + call_ms;
    }
}

/* ---- one job ---- */

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

static enum head_state state_of_claim(const struct task *task)
{
    if (atomic_load(&task->held->running_ms) != 0)
        return HEAD_RUNNING;
    return atomic_load(&task->refused) ? HEAD_REFUSED : HEAD_TELLING;
}

/* One without a claim. */
static enum head_state find_unclaimed(const struct service *service, const struct partition *partition, int64_t offset, char *job, size_t size)
{
    enum head_state state = state_of_place(dispatcher_find(service->dispatcher, partition, offset, job, size));
    /* As long as the ends of others move, so does it. */
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
    wanted->state = state_of_claim(task);
    snprintf(wanted->job, wanted->size, "%s", task->job.id);
}

enum head_state liveness_find(const struct service *service, const struct partition *partition, int64_t offset, char *job, size_t size)
{
    struct wanted wanted = {.partition = partition, .offset = offset, .job = job, .size = size};
    held_claims_each(service->claims, find_claim, &wanted);
    return wanted.found ? wanted.state : find_unclaimed(service, partition, offset, job, size);
}

struct liveness *liveness_create(const struct service *service, rd_kafka_t *consumer)
{
    struct liveness *liveness = xcalloc(1, sizeof *liveness);
    liveness->service = service;
    liveness->consumer = consumer;
    liveness->bound_ms = service->settings->worker.stuck_after_ms;
    liveness->look_every_ms = least(liveness->bound_ms / 8, LOOK_EVERY_MS_MAX);
    if (liveness->look_every_ms < LOOK_EVERY_MS_MIN)
        liveness->look_every_ms = LOOK_EVERY_MS_MIN;
    int64_t ask_ms = least(liveness->bound_ms / 4, ASK_EVERY_MS_MAX);
    liveness->watch = group_watch_create(consumer, service->settings->kafka.group_id, ask_ms);
    mutex_init(&liveness->lock);
    return liveness;
}

void liveness_destroy(struct liveness *liveness)
{
    if (liveness == NULL)
        return;
    group_watch_destroy(liveness->watch);
    mutex_destroy(&liveness->lock);
    free(liveness);
}

/* ---- ownership ---- */

/* It isn't read on purpose: it isn't known where it begins, or it is about to go. */
static bool is_in_a_step(const struct grants *grants, const rd_kafka_topic_partition_t *item)
{
    const struct partition *partition = grants_find(grants, item->topic, item->partition);
    return partition != NULL && (!partition->begun || partition->leaving);
}

/* What the broker says is ours and the client doesn't fetch. A rebalance makes such a difference for a moment. */
static void compare_ownership(struct liveness *liveness, const struct grants *grants, int64_t now_ms)
{
    uint64_t number;
    rd_kafka_topic_partition_list_t *owned = group_watch_owned(liveness->watch, &number);
    rd_kafka_topic_partition_list_t *assigned = NULL;
    if (owned == NULL || rd_kafka_assignment(liveness->consumer, &assigned) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        liveness->unassigned_since_ms = 0;
        if (owned != NULL)
            rd_kafka_topic_partition_list_destroy(owned);
        return;
    }
    if (number == liveness->answer) { /* heard already; a grant may have come since */
        rd_kafka_topic_partition_list_destroy(owned);
        rd_kafka_topic_partition_list_destroy(assigned);
        return;
    }
    liveness->answer = number;
    const rd_kafka_topic_partition_t *missing = NULL;
    for (int i = 0; i < owned->cnt && missing == NULL; i++)
        if (rd_kafka_topic_partition_list_find(assigned, owned->elems[i].topic, owned->elems[i].partition) == NULL &&
            !is_in_a_step(grants, &owned->elems[i]))
            missing = &owned->elems[i];
    if (missing == NULL)
        liveness->unassigned_since_ms = 0;
    else if (liveness->unassigned_since_ms == 0)
        liveness->unassigned_since_ms = now_ms;
    if (missing != NULL)
        snprintf(liveness->unassigned, sizeof liveness->unassigned, "%.100s/%d", missing->topic, missing->partition);
    rd_kafka_topic_partition_list_destroy(owned);
    rd_kafka_topic_partition_list_destroy(assigned);
}

/* ---- heads, and calls ---- */

struct look {
    int64_t now_ms;
    int64_t running_before_ms; /* a call that is as old as this is stuck */
    char *why; /* of the oldest */
    size_t size;
};

static void look_at_claim(const struct task *task, void *arg)
{
    struct look *look = arg;
    struct partition *partition = task->partition;
    int64_t running_ms = atomic_load(&task->held->running_ms);
    if (partition->head == task->record.offset)
        partition->head_claim = (int)state_of_claim(task);
    if (running_ms == 0 || running_ms > look->running_before_ms)
        return;
    look->running_before_ms = running_ms - 1;
    snprintf(look->why, look->size, "stuck: %.80s/%d at offset %lld for %lld s: job %.100s %s", partition->topic, partition->id, (long long)task->record.offset,
             (long long)(look->now_ms - running_ms) / 1000, task->job.id, state_names[HEAD_RUNNING]);
}

/* What the head waits for, and since when. False: there is none, or it hasn't been for long. */
static bool view_head(struct liveness *liveness, struct partition *partition, int64_t now_ms, struct liveness_view *view, char *job, size_t size)
{
    if (partition->head < 0 || now_ms - partition->head_since_ms < liveness->bound_ms / 4)
        return false;
    if (partition->head_claim >= 0)
        view->state = (enum head_state)partition->head_claim;
    else
        view->state = find_unclaimed(liveness->service, partition, partition->head, job, size);
    if (partition->head_state != (int)view->state || liveness_is_excused(view)) {
        partition->head_state = (int)view->state;
        partition->head_state_since_ms = now_ms;
    }
    view->in_state_ms = now_ms - partition->head_state_since_ms;
    return view->state != HEAD_RUNNING; /* all that run were looked at */
}

static void look_at_heads(struct liveness *liveness, const struct grants *grants, int64_t now_ms, char *why, size_t size)
{
    int64_t call_ms = liveness->service->settings->llm.deadline_ms;
    for (size_t i = 0; i < grants->count && why[0] == '\0'; i++) {
        struct partition *partition = grants->partitions[i];
        char job[128] = "";
        struct liveness_view view = {.still_ms = now_ms - liveness->still_since_ms,
                                     .redis_is_away = !weather_is_well(liveness->service->weather, WEATHER_REDIS),
                                     .is_held_back = metric_get(METRIC_breakers_open) > 0,
                                     .broker_answers_ms = group_watch_answers_ms(liveness->watch, now_ms)};
        if (view_head(liveness, partition, now_ms, &view, job, sizeof job) && liveness_is_stuck(&view, liveness->bound_ms, call_ms))
            snprintf(why, size, "stuck: %.80s/%d at offset %lld for %lld s: %s%.100s%s%s", partition->topic, partition->id, (long long)partition->head,
                     (long long)view.in_state_ms / 1000, job[0] != '\0' ? "job " : "", job, job[0] != '\0' ? " " : "", state_names[view.state]);
    }
}

static void find_stuck(struct liveness *liveness, const struct grants *grants, int64_t now_ms, char *why, size_t size)
{
    uint64_t moves = held_claims_moves(liveness->service->claims);
    if (moves != liveness->moves || liveness->still_since_ms == 0)
        liveness->still_since_ms = now_ms;
    liveness->moves = moves;
    for (size_t i = 0; i < grants->count; i++) {
        struct partition *partition = grants->partitions[i];
        int64_t head = partition_head(partition);
        partition->head_claim = -1;
        if (head == partition->head)
            continue;
        partition->head = head;
        partition->head_since_ms = now_ms;
        partition->head_state = -1;
    }
    struct look look = {.now_ms = now_ms, .running_before_ms = now_ms - liveness->bound_ms - liveness->service->settings->llm.deadline_ms, .why = why, .size = size};
    held_claims_each(liveness->service->claims, look_at_claim, &look);
    look_at_heads(liveness, grants, now_ms, why, size);
}

/* ---- the verdict ---- */

static void set_verdict(struct liveness *liveness, const char *why)
{
    mutex_lock(&liveness->lock);
    bool failed = liveness->why[0] != '\0';
    snprintf(liveness->why, sizeof liveness->why, "%s", why);
    mutex_unlock(&liveness->lock);
    if (why[0] != '\0' && !failed)
        log_error("liveness_failed", F_STR("error", why));
    else if (why[0] == '\0' && failed)
        log_info("liveness_restored");
}

void liveness_look(struct liveness *liveness, const struct grants *grants)
{
    int64_t now_ms = clock_mono_ms();
    if (now_ms < liveness->next_ms)
        return;
    liveness->next_ms = now_ms + liveness->look_every_ms;
    compare_ownership(liveness, grants, now_ms);
    char why[320] = "";
    if (liveness->unassigned_since_ms != 0 && now_ms - liveness->unassigned_since_ms >= liveness->bound_ms)
        snprintf(why, sizeof why, "not consumed: the group counts on us for %s, and the client doesn't fetch it, for %lld s", liveness->unassigned,
                 (long long)(now_ms - liveness->unassigned_since_ms) / 1000);
    else
        find_stuck(liveness, grants, now_ms, why, sizeof why);
    set_verdict(liveness, why);
}

bool liveness_failed(struct liveness *liveness, char *why, size_t size)
{
    mutex_lock(&liveness->lock);
    snprintf(why, size, "%s", liveness->why);
    mutex_unlock(&liveness->lock);
    return why[0] != '\0';
}

int64_t liveness_broker_answers_ms(struct liveness *liveness)
{
    return group_watch_answers_ms(liveness->watch, clock_mono_ms());
}
