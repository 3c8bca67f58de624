#include "intake/liveness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "dispatch/dispatcher.h"
#include "dispatch/held_claims.h"
#include "dispatch/weather.h"
#include "intake/group_watch.h"

#define LOOK_EVERY_MS 500
#define ASK_EVERY_MS_MAX 30000

static const char *const place_names[] = {
    [PLACE_ENDING] = "a job's end isn't acknowledged", [PLACE_LANE] = "waits behind another job of its session",
    [PLACE_LINE] = "waits to be begun",                       [PLACE_SUSPECT] = "waits for its turn as a suspect",
    [PLACE_READY] = "waits for a thread",                     [PLACE_TIMER] = "waits for a retry, a claim or a permit",
    [PLACE_RUNNING] = "runs"};

struct liveness {
    const struct service *service;
    rd_kafka_t *consumer;
    struct group_watch *watch;
    int64_t bound_ms;
    int64_t next_ms;
    uint64_t answer; /* of the watch: the last that was compared */
    int64_t unassigned_since_ms; /* something the group gave us isn't fetched; 0: all is */
    char unassigned[160];

    struct mutex lock; /* guards the verdict */
    char why[320];     /* empty: it moves */
};

const char *liveness_place_name(enum task_place place)
{
    return place_names[place];
}

enum task_place liveness_find(const struct service *service, const struct partition *partition, int64_t offset, char *job, size_t size)
{
    enum task_place place = dispatcher_find(service->dispatcher, partition, offset, job, size);
    if (place == PLACE_LINE && dispatcher_waits_for_ends(service->dispatcher)) /* as long as these move, so does it */
        return PLACE_ENDING;
    return place == PLACE_ENDING && held_claims_find(service->claims, partition, offset, job, size) ? PLACE_RUNNING : place;
}

bool liveness_is_stuck(const struct liveness_view *view, int64_t bound_ms, int64_t call_ms)
{
    if (view->place == PLACE_TIMER || view->place == PLACE_SUSPECT)
        return false;
    if (view->place == PLACE_ENDING)
        return view->unmoved_ms >= bound_ms + LIVENESS_ACKNOWLEDGE_MS && view->broker_answers_ms >= bound_ms + LIVENESS_ACKNOWLEDGE_MS;
    return view->unmoved_ms >= bound_ms + call_ms;
}

struct liveness *liveness_create(const struct service *service, rd_kafka_t *consumer)
{
    struct liveness *liveness = xcalloc(1, sizeof *liveness);
    liveness->service = service;
    liveness->consumer = consumer;
    liveness->bound_ms = service->settings->worker.stuck_after_ms;
    int64_t ask_ms = liveness->bound_ms / 4 < ASK_EVERY_MS_MAX ? liveness->bound_ms / 4 : ASK_EVERY_MS_MAX;
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

/* What the broker says is ours and the client doesn't fetch. A rebalance makes such a difference for a moment. */
static void compare_ownership(struct liveness *liveness, int64_t now_ms)
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
        if (rd_kafka_topic_partition_list_find(assigned, owned->elems[i].topic, owned->elems[i].partition) == NULL)
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

/* How long the partition's head is the same; a hold begins the count anew. */
static int64_t unmoved_ms(struct partition *partition, int64_t now_ms, bool held)
{
    int64_t head = partition_head(partition);
    if (head != partition->head || held) {
        partition->head = head;
        partition->head_since_ms = now_ms;
    }
    return head < 0 ? 0 : now_ms - partition->head_since_ms;
}

static bool find_stuck(struct liveness *liveness, const struct grants *grants, bool held, int64_t now_ms, char *why, size_t size)
{
    int64_t call_ms = liveness->service->settings->llm.deadline_ms;
    for (size_t i = 0; i < grants->count; i++) {
        struct partition *partition = grants->partitions[i];
        struct liveness_view view = {.unmoved_ms = unmoved_ms(partition, now_ms, held), .broker_answers_ms = group_watch_answers_ms(liveness->watch, now_ms)};
        if (view.unmoved_ms < liveness->bound_ms)
            continue;
        char job[128];
        view.place = liveness_find(liveness->service, partition, partition->head, job, sizeof job);
        if (!liveness_is_stuck(&view, liveness->bound_ms, call_ms))
            continue;
        snprintf(why, size, "stuck: %.80s/%d at offset %lld for %lld s: %s%.100s%s%s", partition->topic, partition->id, (long long)partition->head,
                 (long long)view.unmoved_ms / 1000, job[0] != '\0' ? "job " : "", job, job[0] != '\0' ? " " : "", place_names[view.place]);
        return true;
    }
    return false;
}

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

void liveness_look(struct liveness *liveness, const struct grants *grants, bool held)
{
    int64_t now_ms = clock_mono_ms();
    if (now_ms < liveness->next_ms)
        return;
    liveness->next_ms = now_ms + LOOK_EVERY_MS;
    compare_ownership(liveness, now_ms);
    char why[320] = "";
    if (liveness->unassigned_since_ms != 0 && now_ms - liveness->unassigned_since_ms >= liveness->bound_ms)
        snprintf(why, sizeof why, "not consumed: the group counts on us for %s, and the client doesn't fetch it, for %lld s", liveness->unassigned,
                 (long long)(now_ms - liveness->unassigned_since_ms) / 1000);
    else
        (void)find_stuck(liveness, grants, held || !weather_is_calm(liveness->service->weather), now_ms, why, sizeof why);
    set_verdict(liveness, why);
}

bool liveness_failed(struct liveness *liveness, char *why, size_t size)
{
    mutex_lock(&liveness->lock);
    snprintf(why, size, "%s", liveness->why);
    mutex_unlock(&liveness->lock);
    return why[0] != '\0';
}
