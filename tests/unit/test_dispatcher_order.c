/* Which job starts first: one with a due permit, then the oldest, except for probes; and which jobs a revoke visits. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "dispatch/dispatcher.h"
#include "dispatch/dispatcher_waiting.h"
#include "dispatch/task_state.h"

static struct partition *partition;
static struct dispatcher *dispatcher;

static int64_t next_offset;

static struct task *add_to(struct partition *assignment, const char *session)
{
    struct record record = {.topic = xstrdup("jobs"), .partition = assignment->id, .offset = next_offset++, .timestamp_ms = -1, .key = xstrdup(session), .key_size = strlen(session)};
    struct task *task = task_create(&record, assignment);
    task->job.session = xstrdup(session);
    dispatcher_add(dispatcher, task);
    return task;
}

static struct task *add(const char *session)
{
    return add_to(partition, session);
}

static struct task *take(void)
{
    return dispatcher_take(dispatcher, 0);
}

/* Parks the task until its time is over. */
static void wait_over(struct task *task)
{
    cr_assert(dispatcher_wait(dispatcher, task, 0));
    cr_assert(dispatcher_tick(dispatcher, 1000));
}

static void end(struct task *task)
{
    dispatcher_end(dispatcher, task);
    task_unref(task);
}

static void setup(void)
{
    partition = partition_create("jobs", 0, 1);
    dispatcher = dispatcher_create(ORDERING_KEY, REDIS_IO_PER_THREAD, 1);
}

static void teardown(void)
{
    cr_assert_null(dispatcher_remove_waiting(dispatcher, NULL));
    dispatcher_destroy(dispatcher);
    partition_unref(partition);
}

Test(dispatcher_order, a_probe_that_failed_goes_to_the_end_of_the_line, .init = setup, .fini = teardown)
{
    struct task *a = add("a"), *b = add("b");
    cr_assert_eq(take(), a);
    cr_assert_eq(take(), b);
    dispatcher_bound(dispatcher, 0, START_PROBES);
    wait_over(a);
    wait_over(b);
    dispatcher_bound(dispatcher, 1, START_PROBES);
    cr_assert_eq(take(), a, "the first probe");
    wait_over(a);
    cr_assert_eq(take(), b, "another one's turn");
    end(b);
    cr_assert_eq(take(), a);
    end(a);
}

Test(dispatcher_order, whoever_waited_for_a_permit_goes_first, .init = setup, .fini = teardown)
{
    struct task *older = add("a"), *reserved = add("b");
    cr_assert_eq(take(), older);
    cr_assert_eq(take(), reserved);
    dispatcher_bound(dispatcher, 0, START_PROBES);
    struct task *newest = add("c");
    wait_over(older);
    reserved->rated.waits = true;
    wait_over(reserved);
    dispatcher_bound(dispatcher, 1, START_PROBES);
    cr_assert_eq(take(), reserved, "a permit is for its time");
    cr_assert(dispatcher_wait(dispatcher, reserved, 0));
    cr_assert_eq(take(), newest, "the next probe, while the one with the permit waits again");
    dispatcher_bound(dispatcher, 0, START_OLDEST);
    cr_assert(dispatcher_tick(dispatcher, 0));
    dispatcher_bound(dispatcher, 3, START_OLDEST);
    cr_assert_eq(take(), reserved);
    cr_assert_eq(take(), older);
    end(reserved);
    end(older);
    end(newest);
}

Test(dispatcher_order, nothing_makes_a_job_younger, .init = setup, .fini = teardown)
{
    struct task *a = add("a"), *b = add("b"), *c = add("c"), *d = add("a");
    cr_assert_eq(take(), a);
    cr_assert_eq(take(), b);
    dispatcher_bound(dispatcher, 1, START_OLDEST);
    wait_over(b);
    wait_over(a);
    struct task *late = add("late");
    cr_assert_eq(take(), c, "it was ready before");
    end(c);
    cr_assert_eq(take(), a, "a retry keeps its age, whichever wait was over first");
    end(a);
    cr_assert_eq(take(), b);
    wait_over(b);
    cr_assert_eq(take(), d, "a lane's next keeps its own, and starts while the older one waits");
    end(d);
    cr_assert_eq(take(), b);
    end(b);
    cr_assert_eq(take(), late);
    end(late);
}

Test(dispatcher_order, of_several_whose_permits_are_due_the_oldest_goes_first, .init = setup, .fini = teardown)
{
    struct task *jobs[3] = {add("a"), add("b"), add("c")};
    for (int i = 0; i < 3; i++)
        cr_assert_eq(take(), jobs[i]);
    dispatcher_bound(dispatcher, 0, START_OLDEST);
    for (int i = 2; i >= 0; i--) {
        jobs[i]->rated.waits = true;
        wait_over(jobs[i]);
    }
    dispatcher_bound(dispatcher, 3, START_OLDEST);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(take(), jobs[i]);
        end(jobs[i]);
    }
}

Test(dispatcher_order, once_a_probe_is_answered_the_oldest_go_first_again, .init = setup, .fini = teardown)
{
    dispatcher_bound(dispatcher, 0, START_PROBES);
    struct task *jobs[6];
    char name[8];
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "s%d", i);
        jobs[i] = add(name);
    }
    dispatcher_bound(dispatcher, 1, START_PROBES);
    cr_assert_eq(take(), jobs[5], "the newest is the probe");
    dispatcher_bound(dispatcher, 2, START_OLDEST);
    end(jobs[5]);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(take(), jobs[i]);
        end(jobs[i]);
    }
}

static int64_t now_ms;

static int64_t own_clock(void)
{
    return now_ms;
}

/* A provider that admits few calls and refuses one in twenty, and new jobs without end: none of them passes an old one that could start. */
Test(dispatcher_order, old_jobs_that_are_refused_now_and_then_are_answered_before_newer_ones, .init = setup, .fini = teardown)
{
    enum { OLD = 300, LIMIT = 8, WAIT_MS = 50 };
    unsigned random = 1;
    int old_left = OLD, newer = 0;
    struct task *running[LIMIT];
    char name[16];
    now_ms = 1000;
    dispatcher_use_clock(dispatcher, own_clock);
    dispatcher_bound(dispatcher, LIMIT, START_OLDEST);
    int64_t first_new = next_offset + OLD;
    for (int i = 0; i < OLD; i++) {
        snprintf(name, sizeof name, "old%d", i);
        (void)add(name);
    }
    for (int round = 0; old_left > 0; round++, now_ms += 10) {
        cr_assert_lt(round, 10 * OLD);
        int n = 0;
        for (char job[8]; n < LIMIT; n++) {
            bool any = false;
            for (int64_t offset = first_new - OLD; offset < next_offset && !any; offset++)
                any = dispatcher_find(dispatcher, partition, offset, job, sizeof job) == PLACE_READY;
            if (!any)
                break;
            running[n] = take();
        }
        for (int i = 0; i < n; i++) {
            snprintf(name, sizeof name, "new%d-%d", round, i);
            (void)add(name);
            if (rand_r(&random) % 20 == 0) {
                cr_assert(dispatcher_wait(dispatcher, running[i], WAIT_MS));
                continue;
            }
            *(running[i]->record.offset < first_new ? &old_left : &newer) += running[i]->record.offset < first_new ? -1 : 1;
            end(running[i]);
        }
        cr_assert(dispatcher_tick(dispatcher, 0));
    }
    /* While the last old ones waited after a refusal others ran in their places: WAIT_MS of them for each refusal, at most three in a row. */
    cr_expect_leq(newer, 3 * LIMIT * (WAIT_MS / 10 + 1), "%d newer ones were answered before the last old one", newer);
    for (struct task *task = dispatcher_remove_waiting(dispatcher, NULL), *after; task != NULL; task = after) {
        after = task->next;
        end(task);
    }
}

/* ---- which jobs a revoke visits ---- */

Test(dispatcher_order, a_revoke_looks_at_what_it_takes_out_and_at_nothing_else, .init = setup, .fini = teardown)
{
    enum { PARTITIONS = 100, SESSIONS = 20, EACH = 3 };
    struct partition *assignments[PARTITIONS];
    char name[16], job[8];
    dispatcher_bound(dispatcher, 0, START_OLDEST);
    for (int p = 0; p < PARTITIONS; p++) {
        assignments[p] = partition_create("jobs", p, 1);
        for (int i = 0; i < SESSIONS * EACH; i++) {
            snprintf(name, sizeof name, "s%d", i % SESSIONS);
            (void)add_to(assignments[p], name);
        }
    }
    uint64_t looked = dispatcher_looked(dispatcher);
    cr_expect_eq(dispatcher_find(dispatcher, assignments[7], next_offset, job, sizeof job), PLACE_ENDING);
    cr_expect_leq(dispatcher_looked(dispatcher) - looked, SESSIONS * EACH, "its own partition's");
    for (int p = 0; p < PARTITIONS; p++) {
        int count = 0;
        looked = dispatcher_looked(dispatcher);
        for (struct task *task = dispatcher_remove_waiting(dispatcher, assignments[p]), *after; task != NULL; task = after, count++) {
            after = task->next;
            end(task);
        }
        cr_expect_eq(count, SESSIONS * EACH);
        cr_expect_leq(dispatcher_looked(dispatcher) - looked, 2 * SESSIONS * EACH, "%d lanes are left", (PARTITIONS - p - 1) * SESSIONS);
        looked = dispatcher_looked(dispatcher);
        cr_expect_null(dispatcher_remove_waiting(dispatcher, assignments[p]));
        cr_expect_eq(dispatcher_looked(dispatcher), looked, "again and again, while what runs ends");
        partition_unref(assignments[p]);
    }
    /* As a drain does every few milliseconds, while threads are at work. */
    dispatcher_bound(dispatcher, ADMISSION_UNBOUNDED, START_OLDEST);
    struct task *running = add("a");
    cr_assert_eq(take(), running);
    looked = dispatcher_looked(dispatcher);
    cr_expect_null(dispatcher_remove_waiting(dispatcher, NULL));
    cr_expect_eq(dispatcher_looked(dispatcher), looked);
    end(running);
}

/* ---- steps that no task takes ---- */

Test(dispatcher_order, a_job_that_ends_twice_stops_the_program, .init = setup, .signal = SIGABRT)
{
    cr_assert_not(task_state_may_become(TASK_ENDED, TASK_ENDED), "else what follows may abort for another reason, as for memory freed twice");
    struct task *task = add("a");
    cr_assert_eq(take(), task);
    dispatcher_end(dispatcher, task);
    dispatcher_end(dispatcher, task);
}

Test(dispatcher_order, a_job_that_waits_here_is_not_its_last_holders_to_end, .init = setup, .signal = SIGABRT)
{
    struct task *task = add("a");
    cr_assert_eq(take(), task);
    cr_assert(dispatcher_wait(dispatcher, task, 1000));
    dispatcher_end(dispatcher, task);
}

Test(dispatcher_order, an_answered_job_does_not_wait, .init = setup, .signal = SIGABRT)
{
    struct task *task = add("a");
    cr_assert_eq(take(), task);
    task->outcome = OUTCOME_OK;
    dispatcher_wait(dispatcher, task, 1000);
}
