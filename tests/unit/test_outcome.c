/* The outcome of an attempt: a row for each way a question can fail. Waits are compared with their bounds: the
 * deadlines are far from them on either side. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "settings/settings.h"
#include "task/outcome.h"

#define ATTEMPTS_MAX 3
#define BACKOFF_MS 1000
#define BACKOFF_MAX_MS 4000
#define SOON_MS 3000000   /* a deadline beyond every wait of this process' own */
#define ASKED_MS 60000
#define FAR_MS 360000000

static struct settings *settings;
static struct service service;
static struct partition *partition;

static void setup(void)
{
    settings = xcalloc(1, sizeof *settings);
    settings->retry.attempts_max = ATTEMPTS_MAX;
    settings->retry.backoff_ms = BACKOFF_MS;
    settings->retry.backoff_max_ms = BACKOFF_MAX_MS;
    service = (struct service){.settings = settings};
    partition = partition_create("jobs", 0, 1);
}

static void teardown(void)
{
    partition_unref(partition);
    free(settings);
}

/* A task just received that has failed so often before; deadline_ms 0: none. */
static struct task *task_of(int64_t fails, int64_t deadline_ms)
{
    struct record record = {.topic = xstrdup("jobs"), .timestamp_ms = clock_wall_ms()};
    struct task *task = task_create(&record, partition);
    task->job.id = xstrdup("j");
    task->job.deadline_ms = deadline_ms;
    task->fails = fails;
    task->begun_ms = clock_mono_ms();
    return task;
}

static const struct row {
    const char *what;
    enum error_class class;
    int64_t fails, deadline_ms, retry_after_ms;
    int should_retry;
    bool in_outage, spared;
    enum outcome outcome;
    int64_t wait_min_ms, wait_max_ms; /* of RETRY and WAIT */
} rows[] = {
    {"cut short by us", ERROR_CANCELLED, 0, 0, -1, -1, false, false, OUTCOME_DROP, 0, 0},
    {"cut short by us in an outage", ERROR_CANCELLED, 0, 0, -1, -1, true, false, OUTCOME_DROP, 0, 0},
    {"refused for good", ERROR_PERMANENT, 0, 0, -1, -1, false, false, OUTCOME_DEAD, 0, 0},
    {"refused for good in an outage", ERROR_PERMANENT, 0, 0, -1, -1, true, false, OUTCOME_WAIT, 0, 0},
    {"no end is told", ERROR_NONE, 0, 0, -1, -1, false, false, OUTCOME_DEAD, 0, 0},
    {"a first failure", ERROR_RETRIABLE, 0, 0, -1, -1, false, false, OUTCOME_RETRY, 0, BACKOFF_MS},
    {"a second failure", ERROR_RETRIABLE, 1, 0, -1, -1, false, false, OUTCOME_RETRY, 0, 2 * BACKOFF_MS},
    {"the last failure", ERROR_RETRIABLE, ATTEMPTS_MAX - 1, 0, -1, -1, false, false, OUTCOME_DEAD, 0, 0},
    {"the last failure in an outage", ERROR_RETRIABLE, ATTEMPTS_MAX - 1, 0, -1, -1, true, false, OUTCOME_WAIT, 0, 0},
    {"the last failure, spared", ERROR_RETRIABLE, ATTEMPTS_MAX - 1, 0, -1, -1, false, true, OUTCOME_WAIT, BACKOFF_MS / 4, BACKOFF_MS},
    {"refused for good, spared", ERROR_PERMANENT, 0, 0, -1, -1, false, true, OUTCOME_DEAD, 0, 0},
    {"the provider says when", ERROR_RETRIABLE, 0, 0, ASKED_MS, -1, false, false, OUTCOME_RETRY, ASKED_MS, ASKED_MS},
    {"the provider says when, later than is obeyed", ERROR_RETRIABLE, 0, 0, 120001, -1, false, false, OUTCOME_DEAD, 0, 0},
    {"the provider says never", ERROR_RETRIABLE, 0, 0, -1, 0, false, false, OUTCOME_DEAD, 0, 0},
    {"a retry within the deadline", ERROR_RETRIABLE, 0, SOON_MS, ASKED_MS, -1, false, false, OUTCOME_RETRY, ASKED_MS, ASKED_MS},
    {"a retry beyond the deadline", ERROR_RETRIABLE, 0, ASKED_MS / 2, ASKED_MS, -1, false, false, OUTCOME_DEAD, 0, 0},
    {"nobody there", ERROR_UNAVAILABLE, 0, 0, -1, -1, false, false, OUTCOME_WAIT, BACKOFF_MS / 4, BACKOFF_MS},
    {"nobody there, attempts used up", ERROR_UNAVAILABLE, 100, 0, -1, -1, false, false, OUTCOME_WAIT, BACKOFF_MS / 4, BACKOFF_MS},
    {"nobody there, it says when", ERROR_UNAVAILABLE, 0, 0, ASKED_MS, -1, false, false, OUTCOME_WAIT, ASKED_MS, ASKED_MS},
    {"nobody there until after the deadline", ERROR_UNAVAILABLE, 0, ASKED_MS / 2, ASKED_MS, -1, false, false, OUTCOME_DEAD, 0, 0},
    {"spared until after the deadline", ERROR_RETRIABLE, 0, ASKED_MS / 2, ASKED_MS, -1, false, true, OUTCOME_DEAD, 0, 0},
    {"an outage that says when", ERROR_RETRIABLE, 0, 0, ASKED_MS, -1, true, false, OUTCOME_WAIT, ASKED_MS, ASKED_MS},
    {"an outage until after the deadline", ERROR_RETRIABLE, 0, ASKED_MS / 2, ASKED_MS, -1, true, false, OUTCOME_DEAD, 0, 0},
    {"an outage, when it says is too late to obey", ERROR_RETRIABLE, 0, SOON_MS, FAR_MS, -1, true, false, OUTCOME_WAIT, 0, 0},
    {"the process can't go on", ERROR_FATAL, 0, 0, -1, -1, false, false, OUTCOME_DEAD, 0, 0},
};

Test(outcome, of_a_failure_follows_from_class_attempts_outage_and_deadline, .init = setup, .fini = teardown)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        struct task *task = task_of(row->fails, row->deadline_ms);
        struct failure_facts facts = {.in_outage = row->in_outage, .spared = row->spared, .retry_after_ms = row->retry_after_ms, .should_retry = row->should_retry};
        error_set(&task->error, row->class, "code", "message");
        outcome_failed(&service, task, &facts);
        cr_expect_eq(task->outcome, row->outcome, "%s: %d", row->what, task->outcome);
        if (row->outcome == OUTCOME_RETRY || row->outcome == OUTCOME_WAIT)
            cr_expect(task->wait_ms >= row->wait_min_ms && task->wait_ms <= row->wait_max_ms, "%s: %lld ms", row->what, (long long)task->wait_ms);
        cr_expect_eq(task->reply != NULL, row->outcome == OUTCOME_DEAD, "%s: a dead end alone has a reply", row->what);
        task_unref(task);
    }
}

Test(outcome, the_wait_for_nobody_there_doubles_to_its_maximum, .init = setup, .fini = teardown)
{
    static const int64_t most_ms[] = {BACKOFF_MS, 2 * BACKOFF_MS, BACKOFF_MAX_MS, BACKOFF_MAX_MS};
    for (int repeat = 0; repeat < 100; repeat++) {
        struct task *task = task_of(0, 0);
        for (size_t i = 0; i < sizeof most_ms / sizeof most_ms[0]; i++) {
            error_set(&task->error, ERROR_UNAVAILABLE, "code", "message");
            outcome_failed(&service, task, &FAILURE_FACTS_NONE);
            cr_assert(task->wait_ms >= BACKOFF_MS / 4 && task->wait_ms <= most_ms[i], "%zu: %lld ms", i, (long long)task->wait_ms);
        }
        task_unref(task);
    }
}

/* ---- begin's answers ---- */

Test(outcome, of_a_begin_that_redis_failed_is_a_wait_whatever_the_deadline, .init = setup, .fini = teardown)
{
    for (int in_outage = 0; in_outage < 2; in_outage++) {
        struct task *task = task_of(ATTEMPTS_MAX, 1);
        struct begin_op begin = {0};
        error_set(&begin.error, ERROR_UNAVAILABLE, "redis", "away");
        outcome_not_begun(&service, task, &begin, in_outage);
        cr_expect_eq(task->outcome, OUTCOME_WAIT, "another worker may be answering it");
        cr_expect_eq(task->wait_ms == 0, in_outage, "the breaker holds it back then");
        task_unref(task);
    }
}

Test(outcome, of_a_claim_that_is_anothers_is_a_bounded_wait, .init = setup, .fini = teardown)
{
    static const struct {
        int64_t busy_ms, wait_ms;
    } claims[] = {{0, 50}, {49, 50}, {700, 700}, {30000, 5000}};
    for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++) {
        struct task *task = task_of(0, 0);
        struct begin_op begin = {.state = BEGIN_BUSY, .busy_ms = claims[i].busy_ms};
        outcome_not_begun(&service, task, &begin, false);
        cr_expect_eq(task->outcome, OUTCOME_WAIT);
        cr_expect_eq(task->wait_ms, claims[i].wait_ms, "%lld ms", (long long)claims[i].busy_ms);
        task_unref(task);
    }
}

Test(outcome, of_what_begin_knows_already, .init = setup, .fini = teardown)
{
    static const struct {
        enum begin_state state;
        enum outcome outcome;
    } known[] = {{BEGIN_DONE, OUTCOME_STORED}, {BEGIN_CONFLICT, OUTCOME_DEAD}, {BEGIN_SUSPECT, OUTCOME_SUSPECT}, {BEGIN_RUN, OUTCOME_NONE}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct task *task = task_of(0, 0);
        struct begin_op begin = {.state = known[i].state};
        outcome_not_begun(&service, task, &begin, false);
        cr_expect_eq(task->outcome, known[i].outcome, "row %zu", i);
        task_unref(task);
    }
}

Test(outcome, which_ends_redis_keeps_and_which_may_be_cancelled)
{
    static const struct {
        enum outcome outcome;
        bool final, cancellable;
    } ends[] = {{OUTCOME_NONE, false, false},  {OUTCOME_OK, true, true},     {OUTCOME_DEAD, true, true},     {OUTCOME_CANCELLED, true, false}, {OUTCOME_STORED, false, false},
                {OUTCOME_RETRY, false, true}, {OUTCOME_WAIT, false, true}, {OUTCOME_SUSPECT, false, true}, {OUTCOME_DROP, false, false}};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        cr_expect_eq(outcome_is_final(ends[i].outcome), ends[i].final, "row %zu", i);
        cr_expect_eq(outcome_may_be_cancelled(ends[i].outcome), ends[i].cancellable, "row %zu", i);
    }
}
