/* For ThreadSanitizer: intake, begin thread, pool threads (then event loops), retries, renewals, cancels and revocations all at once on the
 * real dispatcher, partitions and tracker; no Redis, no Kafka. Checks that each offset ends once, that a
 * lane never runs two jobs at a time, and that no cancelled job waits. Exit 0: held. Usage: stress_dispatch [jobs] [seed] */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "dispatch/dispatch_entry.h"
#include "dispatch/dispatcher.h"
#include "dispatch/dispatcher_hand_over.h"
#include "dispatch/dispatcher_waiting.h"
#include "session/held_claims.h"
#include "task/task_list.h"
#include "task/task_part.h"
#include "telemetry/metrics.h"

#define THREADS 16
#define LOOPS 2
#define LANES 40

static struct dispatcher *dispatcher;
static struct held_claims *claims;
static atomic_int in_lane[LANES];
static atomic_int ended;
static atomic_int violations;
static atomic_bool over;

static void claim(struct task *task)
{
    if (task->begin == NULL)
        task->begin = task_part_make(sizeof *task->begin);
    session_store_token(task->begin->claim.token);
    task->begun_ms = clock_mono_ms();
    held_claims_add(claims, task, clock_mono_ms(), task_until_ms(task, 1));
}

static void give_up_claim(struct task *task)
{
    held_claims_remove(claims, task);
    task_part_free(task->begin); /* as when it is settled: the renewer may still have a reference */
    task->begin = NULL;
}

static void finish(struct task *task);

static void finish_if(struct task *task)
{
    if (task != NULL)
        finish(task);
}

/* As completion_put_and_go_on. Returns the job that the thread runs next, or NULL. */
static struct task *finish_and_go_on(struct task *task)
{
    if (!dispatcher_hand_over_begin(dispatcher, task, true)) {
        finish(task);
        return NULL;
    }
    struct task *next = NULL;
    partition_mark_done(task->partition, task->record.offset);
    claim(task->entry->successor);
    enum handed_over handed = dispatcher_hand_over_end(dispatcher, task, HAND_OVER_OWN_THREAD, &next);
    dispatcher_end(dispatcher, task);
    atomic_fetch_add(&ended, 1);
    task_unref(task);
    if (handed == HANDED_TO_RUN)
        return next;
    finish_if(next);
    return NULL;
}

static void finish(struct task *task)
{
    partition_mark_done(task->partition, task->record.offset);
    give_up_claim(task);
    bool is_lost = task->record.offset % 5 == 0; /* the claim is lost */
    struct task *next = NULL;
    if (dispatcher_hand_over_begin(dispatcher, task, false) && !is_lost)
        claim(task->entry->successor);
    (void)dispatcher_hand_over_end(dispatcher, task, is_lost ? HAND_OVER_BACK : HAND_OVER_ANY_THREAD, &next);
    dispatcher_end(dispatcher, task);
    atomic_fetch_add(&ended, 1);
    task_unref(task);
    finish_if(next);
}

/* True: the job goes on; false: it waits for its next attempt. */
static bool run(struct task *task, unsigned *state)
{
    int lane = atoi(task->job.session);
    if (atomic_fetch_add(&in_lane[lane], 1) != 0)
        atomic_fetch_add(&violations, 1);
    if (rand_r(state) % 64 == 0)
        sched_yield();
    atomic_fetch_sub(&in_lane[lane], 1);
    give_up_claim(task);
    return rand_r(state) % 20 != 0 || !dispatcher_wait(dispatcher, task, rand_r(state) % 3);
}

static void *pool_thread(void *arg)
{
    int index = (int)(intptr_t)arg;
    unsigned state = (unsigned)index + 1;
    for (struct task *task; (task = dispatcher_take(dispatcher, index)) != NULL;) {
        while (task != NULL)
            task = run(task, &state) ? finish_and_go_on(task) : NULL;
        dispatcher_taken_done(dispatcher);
    }
    return NULL;
}

/* ---- event loops: jobs are given to an inbox ---- */

static struct mutex inbox_lock; /* guards the two below */
static struct cond inbox_wake;
static struct task_list inbox;
static bool loops_end;

static void give(struct task *task, void *arg)
{
    (void)arg;
    mutex_lock(&inbox_lock);
    task_list_push(&inbox, task);
    cond_signal(&inbox_wake);
    mutex_unlock(&inbox_lock);
}

static struct task *next_given(void)
{
    mutex_lock(&inbox_lock);
    while (inbox.count == 0 && !loops_end)
        cond_wait(&inbox_wake, &inbox_lock);
    struct task *task = task_list_pop(&inbox);
    mutex_unlock(&inbox_lock);
    return task;
}

static void *loop_thread(void *arg)
{
    unsigned state = (unsigned)(intptr_t)arg + 1;
    for (struct task *task; (task = next_given()) != NULL;) {
        if (run(task, &state))
            finish(task);
        dispatcher_slot_is_free(dispatcher);
    }
    return NULL;
}

static void end_loops(void)
{
    mutex_lock(&inbox_lock);
    loops_end = true;
    cond_broadcast(&inbox_wake);
    mutex_unlock(&inbox_lock);
}

static void *begin_thread(void *arg)
{
    (void)arg;
    struct task *batch[32];
    for (size_t n; (n = dispatcher_take_heads(dispatcher, batch, 32)) > 0;) {
        for (size_t i = 0; i < n; i++)
            claim(batch[i]);
        dispatcher_ready(dispatcher, batch, n);
        for (size_t i = 0; i < n; i++)
            finish_if(batch[i]);
    }
    return NULL;
}

/* Cancels ids of present, past and future jobs. */
static void *cancel_thread(void *arg)
{
    int jobs = *(const int *)arg;
    unsigned state = 7;
    while (!atomic_load(&over)) {
        char id[16];
        bool elsewhere;
        snprintf(id, sizeof id, "%d", rand_r(&state) % jobs);
        for (struct task *task = dispatcher_cancel(dispatcher, id, clock_mono_ms(), &elsewhere), *after; task != NULL; task = after) {
            after = task->next;
            if (!atomic_load(&task->cancelled))
                atomic_fetch_add(&violations, 1);
            finish(task);
        }
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    return NULL;
}

/* As the renewer: reads only the renewal, nothing that the task's holder may write, and Redis answers late. */
static void *renew_thread(void *arg)
{
    (void)arg;
    struct renewal renewals[16];
    while (held_claims_sleep(claims, 0)) {
        int64_t now_ms = clock_mono_ms();
        size_t n = held_claims_take_due(claims, now_ms, SIZE_MAX, renewals, 16);
        for (size_t i = 0; i < n; i++)
            if (renewals[i].until_ms <= 0)
                atomic_fetch_add(&violations, 1);
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
        for (size_t i = 0; i < n; i++) {
            (void)held_claims_renewed(claims, renewals[i].task, renewals[i].claim.token, now_ms);
            task_unref(renewals[i].task);
        }
    }
    return NULL;
}

static void *time_thread(void *arg)
{
    (void)arg;
    while (dispatcher_tick(dispatcher, 1))
        ;
    return NULL;
}

static struct task *make(struct partition *partition, int64_t offset, int lane)
{
    struct record record = {.topic = xstrdup("jobs"), .offset = offset, .timestamp_ms = -1};
    struct task *task = task_create(&record, partition);
    task->job.session = xasprintf("%d", lane);
    task->job.id = xasprintf("%lld", (long long)offset);
    return task;
}

/* True: it held. */
static bool play(int jobs, unsigned state, bool loops)
{
    pthread_t pool[THREADS], beginner, timer, renewer, canceller;
    int threads = loops ? LOOPS : THREADS;
    dispatcher = dispatcher_create(ORDERING_KEY, REDIS_IO_BATCHED, THREADS);
    if (loops)
        dispatcher_give_to_loops(dispatcher, THREADS, give, NULL);
    loops_end = false;
    atomic_store(&ended, 0);
    atomic_store(&over, false);
    claims = held_claims_create(3);
    for (intptr_t i = 0; i < threads; i++)
        pthread_create(&pool[i], NULL, loops ? loop_thread : pool_thread, (void *)i);
    pthread_create(&beginner, NULL, begin_thread, NULL);
    pthread_create(&timer, NULL, time_thread, NULL);
    pthread_create(&renewer, NULL, renew_thread, NULL);
    pthread_create(&canceller, NULL, cancel_thread, &jobs);
    struct partition *partition = partition_create("jobs", 0, 1);
    int dropped = 0;
    for (int i = 0; i < jobs; i++) {
        struct task *fresh = make(partition, i, rand_r(&state) % LANES);
        if (!dispatcher_add(dispatcher, fresh))
            finish(fresh);
        if (i % 5000 == 4999) { /* revoked, and assigned again */
            partition_revoke(partition);
            for (struct task *task = dispatcher_remove_waiting(dispatcher, partition), *after; task; task = after) {
                after = task->next;
                give_up_claim(task);
                dispatcher_end(dispatcher, task);
                task_unref(task);
                dropped++;
            }
            partition_unref(partition);
            partition = partition_create("jobs", 0, (uint64_t)i);
        }
        while (metric_get(METRIC_jobs_alive) > 2000)
            sched_yield();
    }
    while (atomic_load(&ended) + dropped < jobs)
        sched_yield();
    atomic_store(&over, true);
    pthread_join(canceller, NULL);
    dispatcher_stop(dispatcher);
    end_loops();
    for (int i = 0; i < threads; i++)
        pthread_join(pool[i], NULL);
    pthread_join(beginner, NULL);
    pthread_join(timer, NULL);
    held_claims_stop(claims);
    pthread_join(renewer, NULL);
    partition_unref(partition);
    dispatcher_destroy(dispatcher);
    held_claims_destroy(claims);
    printf("%s: jobs %d ended %d dropped %d lane_violations %d alive %lld\n", loops ? "loops" : "threads", jobs, atomic_load(&ended), dropped,
           atomic_load(&violations), (long long)metric_get(METRIC_jobs_alive));
    return atomic_load(&violations) == 0 && metric_get(METRIC_jobs_alive) == 0;
}

int main(int argc, char **argv)
{
    int jobs = argc > 1 ? atoi(argv[1]) : 20000;
    unsigned seed = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
    mutex_init(&inbox_lock);
    cond_init(&inbox_wake);
    return play(jobs, seed, false) && play(jobs, seed, true) ? 0 : 1;
}
