#include "intake/liveness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "breakers/breakers.h"
#include "intake/group_watch.h"
#include "intake/head_state.h"
#include "intake/ownership.h"
#include "intake/stuck_rules.h"
#include "session/held_claims.h"
#include "telemetry/metrics.h"

#define LOOK_EVERY_MS_MIN 500
#define LOOK_EVERY_MS_MAX 5000
#define ASK_EVERY_MS_MAX 30000

struct liveness {
    const struct service *service;
    rd_kafka_t *consumer;
    struct group_watch *watch;
    int64_t bound_ms;
    int64_t look_every_ms, next_ms;
    struct ownership ownership;
    uint64_t moves;        /* held_claims_moves at the last look */
    int64_t still_since_ms;

    struct mutex lock; /* guards the verdict */
    char why[320];     /* empty: not stuck */
};

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

struct liveness *liveness_create(const struct service *service, const char *bootstrap, rd_kafka_t *consumer)
{
    struct liveness *liveness = xcalloc(1, sizeof *liveness);
    liveness->service = service;
    liveness->consumer = consumer;
    liveness->bound_ms = service->settings->worker.stuck_after_ms;
    liveness->look_every_ms = least(liveness->bound_ms / 8, LOOK_EVERY_MS_MAX);
    if (liveness->look_every_ms < LOOK_EVERY_MS_MIN)
        liveness->look_every_ms = LOOK_EVERY_MS_MIN;
    int64_t ask_ms = least(liveness->bound_ms / 4, ASK_EVERY_MS_MAX);
    liveness->watch = group_watch_create(service->settings, bootstrap, consumer, ask_ms);
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

/* ---- heads, and calls ---- */

struct look {
    int64_t now_ms;
    int64_t running_before_ms; /* a call that began before is stuck */
    char *why; /* text about the oldest such call */
    size_t size;
};

static void look_at_claim(const struct task *task, void *arg)
{
    struct look *look = arg;
    struct partition *partition = task->partition;
    int64_t running_ms = atomic_load(&task->held->running_ms);
    if (partition->head == task->record.offset)
        partition->head_claim = (int)head_state_of_claim(task);
    if (running_ms == 0 || running_ms > look->running_before_ms)
        return;
    look->running_before_ms = running_ms - 1;
    snprintf(look->why, look->size, "stuck: %.80s/%d at offset %lld for %lld s: job %.100s %s", partition->topic, partition->id, (long long)task->record.offset,
             (long long)(look->now_ms - running_ms) / 1000, task->job.id, head_state_name(HEAD_RUNNING));
}

/* What the head waits for, and since when. False: there is no head, or it became one recently, or it is a call. */
static bool view_head(struct liveness *liveness, struct partition *partition, int64_t now_ms, struct head_view *view, char *job, size_t size)
{
    if (partition->head < 0 || now_ms - partition->head_since_ms < liveness->bound_ms / 4)
        return false;
    if (partition->head_claim >= 0)
        view->state = (enum head_state)partition->head_claim;
    else
        view->state = head_state_unclaimed(liveness->service, partition, partition->head, job, size);
    if (partition->head_state != (int)view->state || stuck_rules_excuse(view)) {
        partition->head_state = (int)view->state;
        partition->head_state_since_ms = now_ms;
    }
    view->in_state_ms = now_ms - partition->head_state_since_ms;
    return view->state != HEAD_RUNNING; /* calls are judged in look_at_claim */
}

static void look_at_heads(struct liveness *liveness, const struct assignments *assignments, int64_t now_ms, char *why, size_t size)
{
    int64_t call_ms = liveness->service->settings->llm.deadline_ms;
    for (size_t i = 0; i < assignments->count && why[0] == '\0'; i++) {
        struct partition *partition = assignments->partitions[i];
        char job[128] = "";
        struct head_view view = {.still_ms = now_ms - liveness->still_since_ms,
                                     .redis_is_away = !breakers_is_well(liveness->service->breakers, DEPENDENCY_REDIS),
                                     .is_held_back = metric_get(METRIC_breakers_open) > 0,
                                     .broker_answers_ms = group_watch_answers_ms(liveness->watch, now_ms)};
        if (view_head(liveness, partition, now_ms, &view, job, sizeof job) && stuck_rules_is_stuck(&view, liveness->bound_ms, call_ms))
            snprintf(why, size, "stuck: %.80s/%d at offset %lld for %lld s: %s%.100s%s%s", partition->topic, partition->id, (long long)partition->head,
                     (long long)view.in_state_ms / 1000, job[0] != '\0' ? "job " : "", job, job[0] != '\0' ? " " : "", head_state_name(view.state));
    }
}

static void find_stuck(struct liveness *liveness, const struct assignments *assignments, int64_t now_ms, char *why, size_t size)
{
    uint64_t moves = held_claims_moves(liveness->service->claims);
    if (moves != liveness->moves || liveness->still_since_ms == 0)
        liveness->still_since_ms = now_ms;
    liveness->moves = moves;
    for (size_t i = 0; i < assignments->count; i++) {
        struct partition *partition = assignments->partitions[i];
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
    look_at_heads(liveness, assignments, now_ms, why, size);
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

void liveness_look(struct liveness *liveness, const struct assignments *assignments)
{
    int64_t now_ms = clock_mono_ms();
    if (now_ms < liveness->next_ms)
        return;
    liveness->next_ms = now_ms + liveness->look_every_ms;
    ownership_compare(&liveness->ownership, liveness->watch, liveness->consumer, assignments, now_ms);
    char why[320] = "";
    if (liveness->ownership.missing_since_ms != 0 && now_ms - liveness->ownership.missing_since_ms >= liveness->bound_ms)
        snprintf(why, sizeof why, "not consumed: the group counts on us for %s, and the client doesn't fetch it, for %lld s", liveness->ownership.missing,
                 (long long)(now_ms - liveness->ownership.missing_since_ms) / 1000);
    else
        find_stuck(liveness, assignments, now_ms, why, sizeof why);
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
