/* Lanes, waits and the hand-over, driven by one thread: jobs for which the dispatcher would wake a thread are taken by hand. */
#include <criterion/criterion.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "dispatch/dispatch_entry.h"
#include "dispatch/dispatcher.h"
#include "dispatch/dispatcher_hand_over.h"
#include "dispatch/dispatcher_waiting.h"
#include "dispatch/task_heap.h"
#include "telemetry/metrics.h"

static struct partition *partition;
static int64_t next_offset;

static struct task *make(const char *topic, const char *key)
{
    struct record record = {.topic = xstrdup(topic), .offset = next_offset++, .timestamp_ms = -1};
    if (key != NULL) {
        record.key = xstrdup(key);
        record.key_size = strlen(key);
    }
    struct task *task = task_create(&record, partition);
    task->job.session = key ? xstrdup(key) : NULL;
    return task;
}

static void setup(void)
{
    partition = partition_create("jobs", 0, 1);
    next_offset = 0;
}

static void teardown(void)
{
    partition_unref(partition);
}

static struct dispatcher *per_thread(enum ordering ordering)
{
    return dispatcher_create(ordering, REDIS_IO_PER_THREAD, 4);
}

static void end(struct dispatcher *d, struct task *task)
{
    dispatcher_end(d, task);
    task_unref(task);
}

/* Takes without waiting: only when something is ready (removing shows whether there is). */
static struct task *take(struct dispatcher *d)
{
    return dispatcher_take(d, 0);
}

static void nothing_left(struct dispatcher *d)
{
    cr_assert_null(dispatcher_remove_waiting(d, NULL));
    dispatcher_destroy(d);
}

Test(dispatcher, one_job_of_a_session_at_a_time_in_order, .init = setup, .fini = teardown)
{
    struct dispatcher *d = per_thread(ORDERING_KEY);
    struct task *a1 = make("jobs", "a"), *a2 = make("jobs", "a"), *b = make("jobs", "b");
    dispatcher_add(d, a1);
    dispatcher_add(d, a2);
    dispatcher_add(d, b);
    cr_assert_eq(take(d), a1);
    cr_assert_eq(take(d), b); /* not a2: its predecessor runs */
    cr_assert(dispatcher_has_successor(d, a1));
    cr_assert_not(dispatcher_has_successor(d, b));
    end(d, a1);
    cr_assert_eq(take(d), a2);
    end(d, a2);
    end(d, b);
    nothing_left(d);
}

Test(dispatcher, null_keys_are_not_one_lane, .init = setup, .fini = teardown)
{
    struct dispatcher *d = per_thread(ORDERING_KEY);
    struct task *first = make("jobs", NULL), *second = make("jobs", NULL);
    dispatcher_add(d, first);
    dispatcher_add(d, second);
    cr_assert_eq(take(d), first);
    cr_assert_eq(take(d), second);
    end(d, first);
    end(d, second);
    nothing_left(d);
}

Test(dispatcher, equal_keys_of_two_topics_are_two_lanes, .init = setup, .fini = teardown)
{
    struct dispatcher *d = per_thread(ORDERING_KEY);
    struct task *here = make("jobs", "a"), *there = make("other", "a");
    dispatcher_add(d, here);
    dispatcher_add(d, there);
    cr_assert_eq(take(d), here);
    cr_assert_eq(take(d), there);
    end(d, here);
    end(d, there);
    nothing_left(d);
}

Test(dispatcher, partition_order_is_one_lane_and_none_is_no_lane, .init = setup, .fini = teardown)
{
    struct dispatcher *d = per_thread(ORDERING_PARTITION);
    struct task *a = make("jobs", "a"), *b = make("jobs", "b");
    dispatcher_add(d, a);
    dispatcher_add(d, b);
    cr_assert_eq(take(d), a);
    cr_assert(dispatcher_has_successor(d, a));
    end(d, a);
    cr_assert_eq(take(d), b);
    end(d, b);
    nothing_left(d);

    d = per_thread(ORDERING_NONE);
    struct task *c1 = make("jobs", "c"), *c2 = make("jobs", "c");
    dispatcher_add(d, c1);
    dispatcher_add(d, c2);
    cr_assert_eq(take(d), c1);
    cr_assert_eq(take(d), c2);
    end(d, c1);
    end(d, c2);
    nothing_left(d);
}

Test(dispatcher, a_retry_keeps_its_lane, .init = setup, .fini = teardown)
{
    struct dispatcher *d = per_thread(ORDERING_KEY);
    struct task *first = make("jobs", "a"), *second = make("jobs", "a");
    dispatcher_add(d, first);
    dispatcher_add(d, second);
    cr_assert_eq(take(d), first);
    cr_assert(dispatcher_wait(d, first, 0));
    cr_assert(dispatcher_tick(d, 1000));
    cr_assert_eq(take(d), first, "the retry comes before its successor");
    end(d, first);
    cr_assert_eq(take(d), second);
    end(d, second);
    nothing_left(d);
}

Test(dispatcher, a_revoked_partition_is_dropped_whole_and_waits_no_more, .init = setup, .fini = teardown)
{
    struct dispatcher *d = per_thread(ORDERING_KEY);
    struct task *running = make("jobs", "a");
    struct partition *mine = partition;
    dispatcher_add(d, running);
    dispatcher_add(d, make("jobs", "a"));
    dispatcher_add(d, make("jobs", "b"));
    cr_assert_eq(take(d), running);
    struct task *waiting = take(d);
    cr_assert(dispatcher_wait(d, waiting, 60000));

    /* The same partition is assigned again while the first assignment's job still runs. */
    partition = partition_create("jobs", 0, 2);
    struct task *fresh = make("jobs", "a");
    dispatcher_add(d, fresh);

    partition_revoke(mine);
    int dropped = 0;
    for (struct task *task = dispatcher_remove_waiting(d, mine), *after; task != NULL; task = after) {
        after = task->next;
        dropped++;
        task_unref(task);
    }
    cr_assert_eq(dropped, 2);
    cr_assert_not(dispatcher_wait(d, running, 10), "no retry for a revoked partition");
    end(d, running);
    cr_assert_eq(take(d), fresh, "the new assignment's job follows the old one that still ran");
    end(d, fresh);
    nothing_left(d);
    partition_unref(mine);
}

Test(dispatcher, heads_are_begun_in_batches_never_before_their_predecessor_has_ended, .init = setup, .fini = teardown)
{
    struct dispatcher *d = dispatcher_create(ORDERING_KEY, REDIS_IO_BATCHED, 8);
    struct task *a1 = make("jobs", "a"), *a2 = make("jobs", "a"), *b = make("jobs", "b");
    struct task *batch[8];
    dispatcher_add(d, a1);
    dispatcher_add(d, a2);
    dispatcher_add(d, b);
    cr_assert_eq(dispatcher_take_heads(d, batch, 8), 2);
    cr_assert_eq(batch[0], a1);
    cr_assert_eq(batch[1], b);
    dispatcher_ready(d, batch, 2);
    cr_assert_eq(dispatcher_take(d, 0), a1);
    cr_assert_eq(dispatcher_take(d, 1), b);
    end(d, a1);
    cr_assert_eq(dispatcher_take_heads(d, batch, 8), 1);
    cr_assert_eq(batch[0], a2);
    dispatcher_ready(d, batch, 1);
    cr_assert_eq(dispatcher_take(d, 0), a2);
    end(d, a2);
    end(d, b);
    nothing_left(d);
}

/* The batched form, and four jobs of one lane, of which a thread has the first. */
static struct dispatcher *with_one_lane(struct task *a[4])
{
    struct dispatcher *d = dispatcher_create(ORDERING_KEY, REDIS_IO_BATCHED, 8);
    struct task *batch[8];
    for (int i = 0; i < 4; i++)
        dispatcher_add(d, a[i] = make("jobs", "a"));
    cr_assert_eq(dispatcher_take_heads(d, batch, 8), 1);
    dispatcher_ready(d, batch, 1);
    cr_assert_eq(dispatcher_take(d, 0), a[0]);
    return d;
}

/* A lane's next job, begun in the round trip of its predecessor's finish. */
Test(dispatcher, a_successor_taken_ahead_has_the_lane_when_its_predecessor_ends, .init = setup, .fini = teardown)
{
    struct task *a[4], *batch[8];
    struct dispatcher *d = with_one_lane(a);
    cr_assert_eq(atomic_load(&partition->behind), 3);

    struct task *ahead;
    cr_assert(dispatcher_hand_over_begin(d, a[0], false));
    cr_assert_eq(a[0]->entry->successor, a[1]);
    cr_assert_eq(atomic_load(&partition->behind), 2);
    cr_assert_eq(dispatcher_hand_over_end(d, a[0], HAND_OVER_ANY_THREAD, &ahead), HANDED_OVER);
    dispatcher_end(d, a[0]);
    cr_assert_eq(dispatcher_take(d, 0), a[1], "it needs no begin of its own");

    /* The predecessor's claim is lost: the successor is put back to where it was, and is begun after it. */
    cr_assert(dispatcher_hand_over_begin(d, a[1], false));
    cr_assert_eq(a[1]->entry->successor, a[2]);
    cr_assert_eq(dispatcher_hand_over_end(d, a[1], HAND_OVER_BACK, &ahead), HANDED_OVER);
    cr_assert_null(a[1]->entry->successor);
    cr_assert_eq(atomic_load(&partition->behind), 2);
    end(d, a[1]);
    cr_assert_eq(dispatcher_take_heads(d, batch, 8), 1);
    cr_assert_eq(batch[0], a[2]);
    dispatcher_ready(d, batch, 1);
    cr_assert_eq(dispatcher_take(d, 0), a[2]);

    /* A successor that has ended already, by begin's answer, isn't for a thread; but it is the lane's head. */
    cr_assert(dispatcher_hand_over_begin(d, a[2], false));
    a[2]->entry->successor->outcome = OUTCOME_STORED;
    cr_assert_eq(dispatcher_hand_over_end(d, a[2], HAND_OVER_ANY_THREAD, &ahead), HANDED_TO_END);
    cr_assert_eq(ahead, a[3]);
    dispatcher_end(d, a[2]);
    cr_assert_not(dispatcher_hand_over_begin(d, ahead, false), "the lane is at its end");
    struct task *late = make("jobs", "a");
    dispatcher_add(d, late);
    cr_assert(dispatcher_has_successor(d, ahead));
    dispatcher_close(d);
    cr_assert_not(dispatcher_hand_over_begin(d, ahead, false), "nothing new is begun while draining");
    cr_assert_eq(dispatcher_remove_waiting(d, NULL), late);
    end(d, ahead);
    task_unref(a[0]);
    task_unref(a[2]);
    task_unref(late);
    nothing_left(d);
}

Test(dispatcher, a_thread_goes_on_with_its_own_lane_while_nobody_older_waits_for_one, .init = setup, .fini = teardown)
{
    struct task *older = make("jobs", "b"), *a[4], *batch[8], *next;
    struct dispatcher *d = dispatcher_create(ORDERING_KEY, REDIS_IO_BATCHED, 8);
    dispatcher_add(d, older);
    for (int i = 0; i < 4; i++)
        dispatcher_add(d, a[i] = make("jobs", "a"));
    cr_assert_eq(dispatcher_take_heads(d, batch, 8), 2);
    dispatcher_ready(d, batch, 2);
    cr_assert_eq(dispatcher_take(d, 0), older);
    cr_assert_eq(dispatcher_take(d, 1), a[0]);

    cr_assert(dispatcher_hand_over_begin(d, a[0], true));
    cr_assert_eq(dispatcher_hand_over_end(d, a[0], HAND_OVER_OWN_THREAD, &next), HANDED_TO_RUN);
    cr_assert_eq(next, a[1]);
    cr_assert(dispatcher_has_successor(d, a[1]), "the lane is the successor's");
    cr_assert_not(dispatcher_has_successor(d, a[0]));

    struct task *younger = make("jobs", "c");
    dispatcher_add(d, younger);
    cr_assert(dispatcher_hand_over_begin(d, a[1], true), "who came later waits");
    cr_assert_eq(dispatcher_hand_over_end(d, a[1], HAND_OVER_BACK, &next), HANDED_OVER);

    cr_assert(dispatcher_wait(d, older, 0));
    cr_assert(dispatcher_tick(d, 0));
    cr_assert_not(dispatcher_hand_over_begin(d, a[1], true), "an older one is to be begun");
    cr_assert_eq(dispatcher_take_heads(d, batch, 1), 1);
    cr_assert_eq(batch[0], older);
    cr_assert_not(dispatcher_hand_over_begin(d, a[1], true), "it is being begun");
    dispatcher_ready(d, batch, 1);
    cr_assert_not(dispatcher_hand_over_begin(d, a[1], true), "it is ready for a thread");
    cr_assert_eq(dispatcher_take(d, 0), older);
    cr_assert_eq(dispatcher_take_heads(d, batch, 8), 1);
    dispatcher_ready(d, batch, 1);
    cr_assert_eq(dispatcher_take(d, 2), younger);

    cr_assert(dispatcher_hand_over_begin(d, a[1], true));
    a[2]->outcome = OUTCOME_STORED;
    cr_assert_eq(dispatcher_hand_over_end(d, a[1], HAND_OVER_OWN_THREAD, &next), HANDED_TO_END, "the lane is its own, a thread isn't");
    cr_assert_eq(next, a[2]);
    end(d, a[1]); /* later, and in any order */
    end(d, a[0]);
    cr_assert(dispatcher_hand_over_begin(d, a[2], true));
    dispatcher_close(d);
    cr_assert_eq(dispatcher_hand_over_end(d, a[2], HAND_OVER_OWN_THREAD, &next), HANDED_OVER, "no thread gets another job in a drain");
    cr_assert_eq(dispatcher_remove_waiting(d, NULL), a[3], "it is put where the drain finds it");
    end(d, a[3]);
    end(d, a[2]);
    end(d, older);
    end(d, younger);
    nothing_left(d);
}

Test(dispatcher, in_the_per_thread_form_nothing_is_begun_ahead, .init = setup, .fini = teardown)
{
    struct dispatcher *d = per_thread(ORDERING_KEY);
    struct task *first = make("jobs", "a"), *second = make("jobs", "a");
    dispatcher_add(d, first);
    dispatcher_add(d, second);
    cr_assert_eq(take(d), first);
    cr_assert_not(dispatcher_hand_over_begin(d, first, false));
    end(d, first);
    cr_assert_eq(take(d), second);
    end(d, second);
    nothing_left(d);
}

Test(task_heap, due_times_come_in_order_and_equal_ones_by_age, .init = setup, .fini = teardown)
{
    enum { N = 500 };
    for (unsigned seed = 1; seed <= 10; seed++) {
        unsigned state = seed;
        struct task_heap heap = {0};
        struct task *tasks[N];
        size_t left = N;
        for (int i = 0; i < N; i++) {
            tasks[i] = make("jobs", NULL);
            dispatch_entry_make(tasks[i]);
            task_heap_push(&heap, tasks[i], (struct task_key){rand_r(&state) % 50, (uint64_t)((i * 7) % N)});
        }
        for (int i = 0; i < N; i += 7, left--) { /* some leave from the middle */
            task_heap_remove(&heap, tasks[i]);
            task_unref(tasks[i]);
        }
        for (int i = 1; i < N; i += 7) { /* some become sooner */
            struct task_key key = task_heap_key(&heap, tasks[i]);
            task_heap_hasten(&heap, tasks[i], (struct task_key){key.first / 2, key.then});
        }
        struct task_key last = {-1, 0};
        for (struct task *task; (task = task_heap_peek(&heap)) != NULL; left--) {
            struct task_key key = task_heap_key(&heap, task);
            cr_assert(key.first > last.first || (key.first == last.first && key.then > last.then), "seed %u", seed);
            last = key;
            task_heap_remove(&heap, task);
            task_unref(task);
        }
        cr_assert_eq(left, 0, "seed %u", seed);
        task_heap_finish(&heap);
    }
}

/* ---- admission ---- */

static bool have_ready(struct dispatcher *d)
{
    char job[16];
    for (int64_t offset = 0; offset < next_offset; offset++)
        if (dispatcher_find(d, partition, offset, job, sizeof job) == PLACE_READY)
            return true;
    return false;
}

/* Per-thread form: takes by hand until nothing more is handed out. */
static size_t take_all(struct dispatcher *d, struct task **out)
{
    size_t n = 0;
    while (have_ready(d))
        out[n++] = take(d);
    return n;
}

static void add_many(struct dispatcher *d, struct task **tasks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char key[24];
        snprintf(key, sizeof key, "s%zu", i);
        dispatcher_add(d, tasks[i] = make("jobs", key));
    }
}

Test(dispatcher, while_none_is_admitted_nothing_starts_and_what_runs_goes_on, .init = setup, .fini = teardown)
{
    struct dispatcher *d = per_thread(ORDERING_KEY);
    struct task *tasks[6], *out[6];
    dispatcher_bound(d, 1, START_PROBES);
    add_many(d, tasks, 6);
    cr_assert_eq(take_all(d, out), 1);
    cr_assert_eq(out[0], tasks[0]);
    cr_assert(dispatcher_wait(d, out[0], 0)); /* failed: it is queued again behind the others */
    cr_assert_eq(take_all(d, out), 1);
    cr_assert_eq(out[0], tasks[5], "the probe rotates; what came last may be let in just for it");
    dispatcher_bound(d, 0, START_PROBES);
    end(d, out[0]);
    cr_assert_eq(take_all(d, out), 0);
    cr_assert(dispatcher_tick(d, 0));
    dispatcher_bound(d, ADMISSION_UNBOUNDED, START_OLDEST);
    cr_assert_eq(take_all(d, out), 5);
    for (size_t i = 0; i < 5; i++)
        end(d, out[i]);
    nothing_left(d);
}

Test(dispatcher, one_past_its_deadline_is_let_through_an_outage, .init = setup, .fini = teardown)
{
    struct dispatcher *d = per_thread(ORDERING_KEY);
    struct task *tasks[3], *out[3];
    dispatcher_bound(d, 0, START_PROBES);
    add_many(d, tasks, 3);
    tasks[1]->job.deadline_ms = 1;
    tasks[1]->record.timestamp_ms = 1;
    cr_assert(dispatcher_tick(d, 0));
    cr_assert_eq(take_all(d, out), 1);
    cr_assert_eq(out[0], tasks[1]);
    end(d, out[0]);
    dispatcher_bound(d, ADMISSION_UNBOUNDED, START_OLDEST);
    cr_assert_eq(take_all(d, out), 2);
    end(d, out[0]);
    end(d, out[1]);
    nothing_left(d);
}

Test(dispatcher, suspects_run_among_few_and_then_alone_and_before_the_others, .init = setup, .fini = teardown)
{
    struct dispatcher *d = per_thread(ORDERING_KEY); /* 4 threads: a suspect among few has 2 others */
    struct task *tasks[6], *out[6];
    add_many(d, tasks, 6);
    cr_assert_eq(take_all(d, out), 6);
    cr_assert(dispatcher_suspect(d, tasks[0], 3)); /* alone */
    cr_assert(dispatcher_suspect(d, tasks[1], 2)); /* among few */
    struct task *late = make("jobs", "late");
    dispatcher_add(d, late);
    cr_assert_eq(take_all(d, out), 0, "four others run");
    end(d, tasks[2]);
    cr_assert_eq(take_all(d, out), 0, "three");
    end(d, tasks[3]);
    cr_assert_eq(take_all(d, out), 1);
    cr_assert_eq(out[0], tasks[1], "the less suspicious first");
    end(d, tasks[4]);
    end(d, tasks[5]);
    cr_assert_eq(take_all(d, out), 0, "the other one waits to be alone, and nobody may start before it");
    end(d, tasks[1]);
    cr_assert_eq(take_all(d, out), 1);
    cr_assert_eq(out[0], tasks[0]);
    end(d, tasks[0]);
    cr_assert_eq(take_all(d, out), 1);
    cr_assert_eq(out[0], late);
    end(d, late);
    nothing_left(d);
}

Test(dispatcher, a_suspect_of_a_revoked_partition_is_not_kept, .init = setup, .fini = teardown)
{
    struct dispatcher *d = per_thread(ORDERING_KEY);
    struct task *tasks[3], *out[3];
    add_many(d, tasks, 3);
    cr_assert_eq(take_all(d, out), 3);
    cr_assert(dispatcher_suspect(d, tasks[0], 3));
    struct task *gone = dispatcher_remove_waiting(d, partition);
    cr_assert_eq(gone, tasks[0]);
    cr_assert_null(gone->next);
    partition_revoke(partition);
    cr_assert_not(dispatcher_suspect(d, tasks[1], 3));
    for (size_t i = 0; i < 3; i++)
        end(d, tasks[i]);
    nothing_left(d);
}

/* Else a session that always has a next job would make the suspect, and all others, wait for ever. */
Test(dispatcher, nothing_is_begun_ahead_while_a_suspect_waits_to_be_alone, .init = setup, .fini = teardown)
{
    struct dispatcher *d = dispatcher_create(ORDERING_KEY, REDIS_IO_BATCHED, 8);
    struct task *suspect = make("jobs", "s"), *first = make("jobs", "a"), *second = make("jobs", "a"), *batch[8];
    dispatcher_add(d, suspect);
    dispatcher_add(d, first);
    dispatcher_add(d, second);
    cr_assert_eq(dispatcher_take_heads(d, batch, 8), 2);
    suspect->outcome = OUTCOME_SUSPECT;
    dispatcher_ready(d, batch, 2);
    cr_assert_eq(batch[0], suspect, "it has an outcome: left to the begin thread");
    cr_assert(dispatcher_suspect(d, suspect, 3));
    cr_assert_eq(dispatcher_take(d, 0), first);
    cr_assert_not(dispatcher_hand_over_begin(d, first, false));
    end(d, first);
    cr_assert_eq(dispatcher_take_heads(d, batch, 8), 1);
    cr_assert_eq(batch[0], suspect);
    dispatcher_ready(d, batch, 1);
    cr_assert_eq(dispatcher_take(d, 0), suspect);
    end(d, suspect);
    cr_assert_eq(dispatcher_take_heads(d, batch, 8), 1);
    cr_assert_eq(batch[0], second);
    dispatcher_ready(d, batch, 1);
    cr_assert_eq(dispatcher_take(d, 0), second);
    end(d, second);
    nothing_left(d);
}

Test(dispatcher, a_suspect_past_its_deadline_is_let_through_too, .init = setup, .fini = teardown)
{
    struct dispatcher *d = per_thread(ORDERING_KEY);
    struct task *tasks[3], *out[3];
    add_many(d, tasks, 3);
    cr_assert_eq(take_all(d, out), 3);
    dispatcher_bound(d, 0, START_PROBES);
    cr_assert(dispatcher_suspect(d, tasks[0], 3));
    cr_assert(dispatcher_suspect(d, tasks[1], 2));
    tasks[0]->job.deadline_ms = tasks[1]->job.deadline_ms = 1;
    tasks[0]->record.timestamp_ms = tasks[1]->record.timestamp_ms = 1;
    cr_assert(dispatcher_tick(d, 0));
    cr_assert_eq(take_all(d, out), 2);
    for (size_t i = 0; i < 3; i++)
        end(d, tasks[i]);
    nothing_left(d);
}

Test(dispatcher, a_suspect_that_another_worker_holds_stops_nobody, .init = setup, .fini = teardown)
{
    struct dispatcher *d = per_thread(ORDERING_KEY);
    struct task *tasks[2], *out[2];
    add_many(d, tasks, 1);
    cr_assert_eq(take_all(d, out), 1);
    cr_assert(dispatcher_suspect(d, tasks[0], 3));
    cr_assert_eq(take_all(d, out), 1);
    tasks[0]->claim_is_others = true;
    cr_assert(dispatcher_wait(d, tasks[0], 0));
    dispatcher_add(d, tasks[1] = make("jobs", "other"));
    cr_assert_eq(take_all(d, out), 1);
    cr_assert_eq(out[0], tasks[1]);
    cr_assert(dispatcher_tick(d, 0));
    cr_assert_eq(take_all(d, out), 1, "it asks again beside the others");
    cr_assert(dispatcher_suspect(d, tasks[0], 3), "and is told when it is free and still a suspect");
    cr_assert_eq(take_all(d, out), 0);
    end(d, tasks[1]);
    cr_assert_eq(take_all(d, out), 1);
    end(d, tasks[0]);
    nothing_left(d);
}

/* ---- cancel ---- */

static struct task *make_job(const char *id, const char *key)
{
    struct task *task = make("jobs", key);
    task->job.id = xstrdup(id);
    return task;
}

/* Those that waited, in a list. */
static struct task *cancel(struct dispatcher *d, const char *id, bool expect_elsewhere)
{
    bool elsewhere;
    struct task *gone = dispatcher_cancel(d, id, 1000, &elsewhere);
    cr_assert_eq(elsewhere, expect_elsewhere);
    for (struct task *task = gone; task != NULL; task = task->next) {
        cr_assert(atomic_load(&task->cancelled) && task->entry->state == TASK_LEAVING);
        cr_assert_eq(task->cancelled_ms, 1000);
    }
    return gone;
}

Test(dispatcher, a_cancelled_job_leaves_the_middle_of_its_lane_and_the_lane_goes_on, .init = setup, .fini = teardown)
{
    struct dispatcher *d = per_thread(ORDERING_KEY);
    struct task *jobs[4];
    char id[8];
    for (int i = 0; i < 4; i++) {
        snprintf(id, sizeof id, "j%d", i);
        cr_assert(dispatcher_add(d, jobs[i] = make_job(id, "a")));
    }
    cr_assert_eq(take(d), jobs[0]);
    cr_assert_eq(atomic_load(&partition->behind), 3);
    cr_assert_eq(cancel(d, "j1", false), jobs[1]);
    cr_assert_null(jobs[1]->entry->lane, "its end moves no lane");
    cr_assert_eq(cancel(d, "j3", false), jobs[3]);
    cr_assert_eq(atomic_load(&partition->behind), 1);
    end(d, jobs[1]);
    cr_assert(dispatcher_has_successor(d, jobs[0]));
    end(d, jobs[0]);
    cr_assert_eq(take(d), jobs[2]);
    end(d, jobs[3]);
    end(d, jobs[2]);
    nothing_left(d);
}

Test(dispatcher, a_cancelled_head_leaves_each_place_and_keeps_its_lane_until_its_end, .init = setup, .fini = teardown)
{
    enum { LINE, READY, TIMER, SUSPECT, PLACES };
    for (int place = 0; place < PLACES; place++) {
        struct dispatcher *d = per_thread(ORDERING_KEY);
        struct task *head = make_job("head", "a"), *behind = make_job("behind", "a");
        if (place == LINE)
            dispatcher_bound(d, 0, START_PROBES);
        cr_assert(dispatcher_add(d, head));
        cr_assert(dispatcher_add(d, behind));
        if (place == TIMER || place == SUSPECT) {
            cr_assert_eq(take(d), head);
            if (place == SUSPECT)
                dispatcher_bound(d, 0, START_PROBES);
            cr_assert(place == TIMER ? dispatcher_wait(d, head, 60000) : dispatcher_suspect(d, head, 3));
        }
        cr_assert_eq(cancel(d, "head", false), head, "place %d", place);
        cr_assert_null(head->next);
        dispatcher_bound(d, ADMISSION_UNBOUNDED, START_OLDEST);
        cr_assert_not(have_ready(d), "what is behind waits for its end");
        end(d, head);
        cr_assert_eq(take(d), behind, "place %d", place);
        end(d, behind);
        nothing_left(d);
    }
}

Test(dispatcher, a_cancelled_job_that_was_begun_ahead_gives_up_its_share, .init = setup, .fini = teardown)
{
    struct dispatcher *d = dispatcher_create(ORDERING_KEY, REDIS_IO_BATCHED, 8);
    struct task *batch[8], *first = make_job("first", "a"), *second = make_job("second", "b");
    dispatcher_add(d, first);
    dispatcher_add(d, second);
    cr_assert_eq(dispatcher_take_heads(d, batch, 8), 2);
    cr_assert_null(cancel(d, "first", true), "the begin thread has it");
    dispatcher_ready(d, batch, 2);
    cr_assert_eq(batch[0], first, "left to the begin thread");
    cr_assert_null(batch[1]);
    cr_assert_eq(cancel(d, "second", false), second, "it was ready");
    cr_assert_not(first->cancelled && have_ready(d));
    end(d, first);
    end(d, second);
    dispatcher_bound(d, 1, START_PROBES); /* nothing is counted as running */
    struct task *third = make_job("third", "c");
    dispatcher_add(d, third);
    cr_assert_eq(dispatcher_take_heads(d, batch, 8), 1);
    dispatcher_ready(d, batch, 1);
    cr_assert_eq(dispatcher_take(d, 0), third);
    end(d, third);
    nothing_left(d);
}

Test(dispatcher, whoever_has_a_cancelled_job_cannot_give_it_back, .init = setup, .fini = teardown)
{
    struct dispatcher *d = dispatcher_create(ORDERING_KEY, REDIS_IO_BATCHED, 8);
    struct task *batch[8], *job[3];
    char id[8];
    for (int i = 0; i < 3; i++) {
        snprintf(id, sizeof id, "j%d", i);
        dispatcher_add(d, job[i] = make_job(id, "a"));
    }
    cr_assert_eq(dispatcher_take_heads(d, batch, 8), 1);
    dispatcher_ready(d, batch, 1);
    cr_assert_eq(dispatcher_take(d, 0), job[0]);
    struct task *ahead;
    cr_assert(dispatcher_hand_over_begin(d, job[0], false));
    cr_assert_eq(job[0]->entry->successor, job[1]);
    cr_assert_null(cancel(d, "j0", true));
    cr_assert_null(cancel(d, "j1", true));
    job[0]->outcome = OUTCOME_RETRY;
    cr_assert_not(dispatcher_wait(d, job[0], 10));
    cr_assert_not(dispatcher_suspect(d, job[0], 3));
    cr_assert_eq(dispatcher_hand_over_end(d, job[0], HAND_OVER_BACK, &ahead), HANDED_TO_END, "nor the one that was begun behind it");
    cr_assert_eq(ahead, job[1]);
    cr_assert_null(ahead->entry->lane);
    end(d, ahead);
    cr_assert(dispatcher_hand_over_begin(d, job[0], false));
    cr_assert_null(cancel(d, "j2", true));
    cr_assert_eq(dispatcher_hand_over_end(d, job[0], HAND_OVER_ANY_THREAD, &ahead), HANDED_TO_END, "the lane is its own, a thread isn't");
    cr_assert_eq(ahead, job[2]);
    end(d, job[0]);
    end(d, ahead);
    nothing_left(d);
}

Test(dispatcher, one_that_waits_for_anothers_end_may_wait_and_is_bound_by_nothing, .init = setup, .fini = teardown)
{
    struct dispatcher *d = per_thread(ORDERING_KEY);
    struct task *task = make_job("j", "a");
    dispatcher_add(d, task);
    cr_assert_eq(take(d), task);
    cr_assert_null(cancel(d, "j", true));
    task->outcome = OUTCOME_WAIT;
    cr_assert_not(dispatcher_wait(d, task, 0));
    task->cancel_told = 1;
    dispatcher_bound(d, 0, START_PROBES);
    cr_assert(dispatcher_wait(d, task, 0));
    cr_assert(dispatcher_tick(d, 0));
    cr_assert_eq(take(d), task);
    end(d, task);
    nothing_left(d);
}

Test(dispatcher, all_of_one_id_are_cancelled_and_those_that_come_later, .init = setup, .fini = teardown)
{
    struct dispatcher *d = per_thread(ORDERING_KEY);
    struct task *running = make_job("j", "a"), *behind = make_job("j", "a"), *ready = make_job("j", "b"), *other = make_job("k", "c");
    dispatcher_add(d, running);
    cr_assert_eq(take(d), running);
    dispatcher_add(d, behind);
    dispatcher_add(d, ready);
    dispatcher_add(d, other);
    int count = 0;
    for (struct task *task = cancel(d, "j", true), *after; task != NULL; task = after, count++) {
        after = task->next;
        cr_assert(task == behind || task == ready);
        end(d, task);
    }
    cr_assert_eq(count, 2);
    cr_assert(atomic_load(&running->cancelled) && !atomic_load(&other->cancelled));
    struct task *late = make_job("j", "a");
    cr_assert_not(dispatcher_add(d, late));
    cr_assert(atomic_load(&late->cancelled) && late->entry->lane == NULL);
    end(d, late);
    end(d, running);
    cr_assert_null(cancel(d, "j", false), "none is left");
    cr_assert_eq(take(d), other);
    end(d, other);
    nothing_left(d);
}

Test(job_index, finds_all_of_an_id_over_random_comings_and_goings, .init = setup, .fini = teardown)
{
    enum { N = 60, IDS = 7 };
    struct dispatcher *d = per_thread(ORDERING_NONE);
    for (unsigned seed = 1; seed <= 20; seed++) {
        unsigned state = seed;
        struct task *tasks[N] = {0};
        for (int step = 0; step < 600; step++) {
            int i = rand_r(&state) % N;
            char id[8];
            if (tasks[i] != NULL) {
                end(d, tasks[i]);
                tasks[i] = NULL;
                continue;
            }
            snprintf(id, sizeof id, "%u-%d", seed, i % IDS);
            dispatcher_add(d, tasks[i] = make_job(id, NULL));
            cr_assert_eq(take(d), tasks[i]);
        }
        for (int i = 0; i < IDS; i++) {
            char id[8];
            bool elsewhere, want = false;
            snprintf(id, sizeof id, "%u-%d", seed, i);
            cr_assert_null(dispatcher_cancel(d, id, 1, &elsewhere));
            for (int k = 0; k < N; k++) {
                want = want || (tasks[k] != NULL && k % IDS == i);
                cr_assert(tasks[k] == NULL || k % IDS != i || atomic_load(&tasks[k]->cancelled));
                cr_assert(tasks[k] == NULL || k % IDS <= i || !atomic_load(&tasks[k]->cancelled));
            }
            cr_assert_eq(elsewhere, want);
        }
        for (int k = 0; k < N; k++)
            if (tasks[k] != NULL)
                end(d, tasks[k]);
    }
    nothing_left(d);
}

/* Ends not yet stored and acknowledged take memory: no job is started that would add one. */
static void expect_held_by_ends(enum redis_io redis_io)
{
    struct dispatcher *d = dispatcher_create(ORDERING_KEY, redis_io, 4);
    struct task *a = make("jobs", "a"), *b = make("jobs", "b"), *begun[4];
    dispatcher_bound_ends(d, 100000);
    a->reply = xcalloc(1, 200000);
    memset(a->reply, 'x', 199999);
    task_weigh_end(a);
    cr_assert_geq(metric_get(METRIC_jobs_ended_bytes), 200000);
    dispatcher_add(d, b);
    cr_assert(dispatcher_tick(d, 0));
    char job[8];
    cr_assert_eq(dispatcher_find(d, partition, b->record.offset, job, sizeof job), PLACE_LINE, "it isn't started");
    cr_assert(dispatcher_waits_for_ends(d));
    task_unref(a);
    cr_assert_eq(metric_get(METRIC_jobs_ended_bytes), 0);
    cr_assert_not(dispatcher_waits_for_ends(d));
    cr_assert(dispatcher_tick(d, 0)); /* only a tick starts the job */
    if (redis_io == REDIS_IO_PER_THREAD) {
        cr_assert_eq(dispatcher_find(d, partition, b->record.offset, job, sizeof job), PLACE_READY);
        cr_assert_eq(take(d), b);
    } else {
        cr_assert_eq(dispatcher_take_heads(d, begun, 4), 1);
        dispatcher_ready(d, begun, 1);
        cr_assert_eq(take(d), b);
    }
    end(d, b);
    nothing_left(d);
}

Test(dispatcher, ends_that_are_not_taken_yet_hold_what_would_start, .init = setup, .fini = teardown)
{
    expect_held_by_ends(REDIS_IO_PER_THREAD);
    expect_held_by_ends(REDIS_IO_BATCHED);
}

/* Four threads: one at work, and four are begun ahead at most, whoever begins them: each holds a history. */
Test(dispatcher, what_is_begun_ahead_has_a_bound, .init = setup, .fini = teardown)
{
    enum { LANES = 12, AHEAD = 4 };
    struct dispatcher *d = dispatcher_create(ORDERING_KEY, REDIS_IO_BATCHED, 4);
    struct task *first[LANES], *second[LANES], *begun[LANES], *next;
    char key[16];
    for (int i = 0; i < 2 * LANES; i++) {
        snprintf(key, sizeof key, "s%d", i % LANES);
        struct task *task = make("jobs", key);
        *(i < LANES ? &first[i] : &second[i - LANES]) = task;
        dispatcher_add(d, task);
    }
    for (int taken = 0; taken < LANES;) { /* all heads run, and all end at once: after a long Redis command, say */
        size_t n = dispatcher_take_heads(d, begun, LANES);
        cr_assert(n > 0 && n <= AHEAD);
        dispatcher_ready(d, begun, n);
        for (size_t i = 0; i < n; i++)
            cr_assert_eq(take(d), first[taken++]);
    }
    int ahead = 0;
    for (int i = 0; i < LANES; i++)
        ahead += dispatcher_hand_over_begin(d, first[i], false);
    cr_assert_eq(ahead, AHEAD, "%d histories for no thread", ahead);
    for (int i = 0; i < LANES; i++) {
        cr_assert_eq(dispatcher_hand_over_end(d, first[i], HAND_OVER_ANY_THREAD, &next), HANDED_OVER);
        end(d, first[i]);
    }
    for (int i = 0; i < AHEAD; i++)
        cr_assert_eq(take(d), second[i]);
    cr_assert_eq(dispatcher_take_heads(d, begun, LANES), AHEAD, "the others as any that line up");
    dispatcher_ready(d, begun, AHEAD);
    for (int i = 0; i < AHEAD; i++)
        cr_assert_eq(take(d), second[AHEAD + i]);
    cr_assert_eq(dispatcher_take_heads(d, begun, LANES), AHEAD);
    dispatcher_ready(d, begun, AHEAD);
    for (int i = 0; i < LANES; i++) {
        if (i >= 2 * AHEAD)
            cr_assert_eq(take(d), second[i]);
        end(d, second[i]);
    }
    nothing_left(d);
}

Test(dispatcher, a_session_has_no_successor_while_ends_hold, .init = setup, .fini = teardown)
{
    struct dispatcher *d = dispatcher_create(ORDERING_KEY, REDIS_IO_BATCHED, 4);
    struct task *first = make("jobs", "a"), *second = make("jobs", "a"), *begun[4];
    dispatcher_bound_ends(d, 100000);
    dispatcher_add(d, first);
    dispatcher_add(d, second);
    cr_assert_eq(dispatcher_take_heads(d, begun, 4), 1);
    dispatcher_ready(d, begun, 1);
    cr_assert_eq(take(d), first);
    metric_add(METRIC_jobs_ended_bytes, 100000);
    cr_assert_not(dispatcher_hand_over_begin(d, first, false));
    metric_add(METRIC_jobs_ended_bytes, -100000);
    cr_assert(dispatcher_hand_over_begin(d, first, false));
    struct task *next;
    cr_assert_eq(dispatcher_hand_over_end(d, first, HAND_OVER_ANY_THREAD, &next), HANDED_OVER);
    end(d, first);
    cr_assert_eq(take(d), second);
    end(d, second);
    nothing_left(d);
}

static char *long_text(size_t size)
{
    char *text = xcalloc(1, size + 1);
    memset(text, 'x', size);
    return text;
}

static void charges(const struct task *task, size_t before, size_t size, const char *what)
{
    cr_expect(task->bytes >= before + size && task->bytes <= before + size + size / 4, "%s: %zu became %zu", what, before, task->bytes);
    cr_expect_eq(metric_get(METRIC_jobs_alive_bytes), (int64_t)task->bytes, "%s", what);
}

/* A task's memory, from its record to its end. */
Test(task, is_charged_its_job_and_its_end, .init = setup, .fini = teardown)
{
    enum { SIZE = 100000 };
    struct task *task = make("jobs", "a");
    char **const inputs[] = {&task->job.messages, &task->job.params, &task->job.metadata, &task->job.id}, **const ends[] = {&task->reply, &task->turn};
    size_t before = task->bytes;
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++, before = task->bytes) {
        *inputs[i] = long_text(SIZE);
        task_weigh_input(task);
        charges(task, before, SIZE, "a part of the job");
    }
    cr_expect_eq(metric_get(METRIC_jobs_ended_bytes), 0);
    size_t input_bytes = task->bytes;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++, before = task->bytes) {
        *ends[i] = long_text(SIZE);
        task_weigh_end(task);
        charges(task, before, SIZE, "a part of the end");
    }
    task->published_bytes[1] = SIZE;
    task_weigh_end(task);
    charges(task, before, SIZE, "what Kafka's client holds");
    cr_expect_eq(metric_get(METRIC_jobs_ended_bytes), (int64_t)(task->bytes - input_bytes));
    task_unref(task);
    cr_expect(metric_get(METRIC_jobs_alive_bytes) == 0 && metric_get(METRIC_jobs_ended_bytes) == 0);
}

#ifndef CHAT_SANITIZED /* which have their own malloc */

/* The charge is about malloc's memory, whatever the record contains. What a thread has cached counts as in use: taken before, it isn't taken by the task. */
Test(task, is_charged_what_it_holds, .init = setup, .fini = teardown)
{
    enum { CACHED = 8 }; /* of a size, one more than glibc caches */
    static const struct {
        size_t headers, header_bytes, value_bytes, key_bytes;
    } rows[] = {{0, 0, 10, 0}, {20000, 2, 10, 3}, {100, 3000, 0, 0}, {0, 0, 990000, 0}, {3, 10, 100, 900000}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct record record = {.topic = xstrdup("jobs"), .key = xcalloc(1, rows[i].key_bytes + 1), .key_size = rows[i].key_bytes,
                                .value = xcalloc(1, rows[i].value_bytes + 1), .value_size = rows[i].value_bytes};
        AUTO_FREE char *name = xcalloc(1, rows[i].header_bytes + 1);
        memset(name, 'h', rows[i].header_bytes);
        void *cached[CACHED];
        for (size_t c = 0; c < CACHED; c++)
            cached[c] = malloc(sizeof(struct task));
        struct mallinfo2 before = mallinfo2();
        size_t base = before.uordblks + before.hblkhd;
        for (size_t h = 0; h < rows[i].headers; h++)
            headers_add(&record.headers, name, name, rows[i].header_bytes);
        struct task *task = task_create(&record, partition);
        struct mallinfo2 after = mallinfo2();
        size_t held = after.uordblks + after.hblkhd - base + malloc_usable_size(task->record.topic) + malloc_usable_size(task->record.key) + malloc_usable_size(task->record.value);
        cr_expect_geq(task->bytes, held - held / 20, "row %zu: %zu charged, %zu held", i, task->bytes, held);
        cr_expect_leq(task->bytes, held + held / 4 + 1024, "row %zu: %zu charged, %zu held", i, task->bytes, held);
        cr_expect_eq(metric_get(METRIC_jobs_alive_bytes), (int64_t)task->bytes);
        task_unref(task);
        for (size_t c = 0; c < CACHED; c++)
            free(cached[c]);
        cr_expect_eq(metric_get(METRIC_jobs_alive_bytes), 0);
    }
}

#endif
