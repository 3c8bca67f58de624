/* What the intake may do while a dependency is away. The breakers' clock is real, so their pause is a millisecond. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "breakers/breaker.h"
#include "breakers/task_failures.h"
#include "breakers/breakers.h"
#include "breakers/breakers_provider.h"
#include "dispatch/dispatcher.h"
#include "dispatch/dispatcher_waiting.h"
#include "telemetry/metrics.h"
#include "one_provider.h"

static struct settings *settings;
static struct dispatcher *dispatcher;
static struct breakers *breakers;
static struct partition *partition;

static void set_up(const char *providers)
{
    const char *const overrides[] = {"provider.spare.url=http://localhost:1/v1", "provider.spare.model=m", providers, "worker.threads=64", NULL};
    settings = one_provider_settings(overrides);
    settings->retry.backoff_ms = settings->retry.backoff_max_ms = 1;
    dispatcher = dispatcher_create(ORDERING_KEY, REDIS_IO_PER_THREAD, 64);
    breakers = breakers_create(settings, dispatcher);
    partition = partition_create("jobs", 0, 1);
}

static void setup(void)
{
    set_up("llm.providers=main");
}

static void setup_two(void)
{
    set_up("llm.providers=main,spare");
}

static void teardown(void)
{
    partition_unref(partition);
    breakers_destroy(breakers);
    dispatcher_destroy(dispatcher);
    settings_destroy(settings);
}

static struct task *job(const char *session)
{
    struct record record = {.topic = xstrdup("jobs"), .timestamp_ms = -1};
    struct task *task = task_create(&record, partition);
    task->job.session = xstrdup(session);
    return task;
}

static enum blame fails_as(struct task *task, enum failure_weight weight, bool last_attempt)
{
    struct error why = {.class = ERROR_RETRIABLE};
    struct breakers_failure how = {.weight = weight, .last_attempt = last_attempt, .why = &why};
    return breakers_provider_failed(breakers, 0, task, &how);
}

static bool fails(int dependency, int session)
{
    struct error why = {.class = ERROR_UNAVAILABLE};
    char name[16];
    snprintf(name, sizeof name, "s%d", session);
    struct task *task = job(name);
    bool away = dependency >= DEPENDENCY_PROVIDER ? fails_as(task, WEIGHS_ONCE, false) == BLAME_PROVIDER : breakers_failed(breakers, dependency, task, &why);
    task_unref(task);
    return away;
}

static void opens(int dependency)
{
    for (int session = 0; session < BREAKER_FAILURES - 1; session++)
        cr_assert_not(fails(dependency, session));
    cr_assert(fails(dependency, BREAKER_FAILURES - 1));
}

/* Waits until the pause of open breakers is over. */
static void half_opens(void)
{
    for (int64_t until = clock_mono_ms() + settings->retry.backoff_max_ms; clock_mono_ms() < until;)
        ;
    cr_assert(breakers_tick(breakers));
}

/* Answered, and no job waits: then time closes the breaker. */
static void closes(void)
{
    half_opens();
    cr_assert_eq(metric_get(METRIC_breakers_open), 0);
    cr_assert_eq(breakers_intake(breakers, 5), INTAKE_FREE);
    cr_assert(breakers_are_calm(breakers));
}

static void probe_fails(int dependency)
{
    half_opens();
    cr_assert(fails(dependency, 5));
}

Test(breakers, one_let_in_that_ended_without_asking_is_followed_by_another, .init = setup, .fini = teardown)
{
    opens(DEPENDENCY_PROVIDER);
    cr_assert_eq(breakers_intake(breakers, 5), INTAKE_CLOSED, "there are jobs to probe with");
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(breakers_intake(breakers, 0), INTAKE_ONE, "%d: none is left to probe with", i);
        breakers_let_in(breakers);
        cr_assert_eq(breakers_intake(breakers, 1), INTAKE_CLOSED, "%d: it is the next probe", i);
        half_opens(); /* the job ends, by its deadline say, without a result of the provider */
    }
}

Test(breakers, a_probe_in_vain_of_an_outage_that_is_over_says_nothing_of_the_next, .init = setup, .fini = teardown)
{
    opens(DEPENDENCY_PROVIDER);
    for (int i = 0; i < 9; i++)
        probe_fails(DEPENDENCY_PROVIDER);
    half_opens();
    breakers_succeeded(breakers, DEPENDENCY_PROVIDER);
    closes();
    opens(DEPENDENCY_REDIS);
    cr_assert_eq(breakers_intake(breakers, 5), INTAKE_CLOSED, "the provider's probes aren't those of Redis");
}

Test(breakers, when_it_opens_again_in_the_middle_of_recovery_probes_are_counted_anew, .init = setup, .fini = teardown)
{
    opens(DEPENDENCY_PROVIDER);
    for (int i = 0; i < 9; i++)
        probe_fails(DEPENDENCY_PROVIDER);
    cr_assert_eq(breakers_intake(breakers, 50), INTAKE_ONE);
    breakers_let_in(breakers);
    half_opens();
    breakers_succeeded(breakers, DEPENDENCY_PROVIDER);
    opens(DEPENDENCY_PROVIDER);
    probe_fails(DEPENDENCY_PROVIDER);
    cr_assert_eq(breakers_intake(breakers, 1), INTAKE_ONE, "the only one was probed in vain");
}

Test(breakers, while_redis_is_away_jobs_wait_but_for_a_probe, .init = setup, .fini = teardown)
{
    struct record record = {.topic = xstrdup("jobs"), .timestamp_ms = -1};
    opens(DEPENDENCY_REDIS);
    struct task *task = task_create(&record, partition);
    cr_assert(dispatcher_add(dispatcher, task));
    cr_expect_eq(breakers_intake(breakers, 1), INTAKE_CLOSED);
    cr_expect(dispatcher_load(dispatcher).kept_waiting);
    half_opens();
    cr_expect_not(dispatcher_load(dispatcher).kept_waiting, "it is the probe");
    cr_assert_eq(dispatcher_remove_waiting(dispatcher, NULL), task);
    dispatcher_end(dispatcher, task);
    task_unref(task);
}

/* There may be no second one for days. */
Test(breakers, one_dead_letter_that_is_taken_ends_the_outage_of_their_topic, .init = setup, .fini = teardown)
{
    opens(DEPENDENCY_DEAD_TOPIC);
    cr_assert_eq(breakers_intake(breakers, 5), INTAKE_CLOSED);
    cr_assert_eq(metric_get(METRIC_breakers_open), 1);
    half_opens();
    breakers_succeeded(breakers, DEPENDENCY_DEAD_TOPIC);
    cr_assert_eq(breakers_intake(breakers, 5), INTAKE_FREE);
    cr_assert_eq(metric_get(METRIC_breakers_open), 0);
}

/* Else jobs that always fail, as the last ones left, would keep the breaker open and wait for ever. */
Test(breakers, a_job_that_fails_before_and_after_others_were_answered_is_at_fault, .init = setup, .fini = teardown)
{
    struct task *poison = job("poison"), *unlucky = job("unlucky");
    cr_expect_eq(fails_as(poison, WEIGHS_ONCE, false), BLAME_JOB);
    for (int session = 0; session < 3; session++)
        cr_expect_not(fails(DEPENDENCY_PROVIDER, session));
    cr_expect_eq(fails_as(unlucky, WEIGHS_ONCE, false), BLAME_PROVIDER, "five sessions: an outage");
    half_opens();
    cr_expect_eq(fails_as(poison, WEIGHS_ONCE, false), BLAME_PROVIDER, "again, and nobody was answered between: the outage goes on");
    half_opens();
    breakers_succeeded(breakers, DEPENDENCY_PROVIDER);
    opens(DEPENDENCY_PROVIDER);
    for (int i = 0; i < 3; i++)
        cr_expect_eq(fails_as(poison, WEIGHS_ONCE, true), BLAME_JOB, "%d: it loses an attempt, whatever the breaker says", i);
    half_opens();
    cr_expect_eq(fails_as(poison, WEIGHS_EACH_TIME, true), BLAME_JOB);
    cr_expect_eq(metric_get(METRIC_breakers_open), 1);
    cr_expect_eq(breakers_calls_max(breakers, 0), 1, "as a probe it proves nothing: the next one may go");
    breakers_succeeded(breakers, DEPENDENCY_PROVIDER);
    closes();
    task_unref(poison);
    task_unref(unlucky);
}

Test(breakers, what_is_at_fault_at_one_provider_is_not_at_another, .init = setup_two, .fini = teardown)
{
    struct error why = {.class = ERROR_RETRIABLE};
    struct breakers_failure how = {.weight = WEIGHS_ONCE, .last_attempt = true, .why = &why};
    struct task *poison = job("poison");
    for (int round = 0; round < 3; round++) {
        (void)breakers_provider_failed(breakers, 0, poison, &how);
        cr_expect_eq(poison->failures->at_fault, round == 0 ? 0 : 1, "%d: others are answered by the first alone", round);
        (void)breakers_provider_failed(breakers, 1, poison, &how);
        breakers_succeeded(breakers, DEPENDENCY_PROVIDER);
    }
    cr_expect_eq(poison->failures->at_fault, 1);
    task_unref(poison);
}

/* ---- what isn't the provider's ---- */

Test(breakers, fifty_odd_answers_and_refusals_leave_all_as_it_is, .init = setup, .fini = teardown)
{
    for (int session = 0; session < 50; session++) {
        char name[16];
        snprintf(name, sizeof name, "s%d", session);
        struct task *task = job(name);
        cr_expect_eq(fails_as(task, session % 2 ? WEIGHS_NOTHING : WEIGHS_FOR, true), BLAME_JOB);
        task_unref(task);
    }
    cr_expect(breakers_are_calm(breakers));
    cr_expect_eq(breakers_calls_max(breakers, 0), SIZE_MAX);
}

Test(breakers, a_refusal_between_two_failures_hides_no_answer, .init = setup, .fini = teardown)
{
    struct task *poison = job("poison"), *refused = job("refused");
    cr_expect_eq(fails_as(poison, WEIGHS_ONCE, false), BLAME_JOB);
    cr_expect_eq(fails_as(refused, WEIGHS_FOR, false), BLAME_JOB);
    breakers_succeeded(breakers, DEPENDENCY_PROVIDER);
    (void)fails_as(poison, WEIGHS_ONCE, false);
    cr_expect_eq(poison->failures->at_fault, 1);
    task_unref(poison);
    task_unref(refused);
}

Test(breakers, a_key_that_is_refused_counts_for_each_job_of_one_session, .init = setup, .fini = teardown)
{
    struct task *task = job("one");
    for (int i = 0; i < BREAKER_FAILURES - 1; i++)
        cr_expect_eq(fails_as(task, WEIGHS_EACH_TIME, false), BLAME_JOB);
    cr_expect_eq(fails_as(task, WEIGHS_EACH_TIME, false), BLAME_PROVIDER);
    task_unref(task);
}

/* ---- fewer than five sessions ---- */

static struct task *add(const char *session)
{
    struct task *task = job(session);
    cr_assert(dispatcher_add(dispatcher, task));
    return task;
}

static void end(struct task *task)
{
    dispatcher_end(dispatcher, task);
    task_unref(task);
}

static void end_all(void)
{
    struct task *after;
    for (struct task *task = dispatcher_remove_waiting(dispatcher, NULL); task != NULL; task = after) {
        after = task->next;
        end(task);
    }
}

/* The last job was let in as the probe; from the first answer on there is no outage any more, and age counts. */
Test(breakers, once_it_answers_again_the_oldest_go_first, .init = setup, .fini = teardown)
{
    opens(DEPENDENCY_PROVIDER);
    struct task *jobs[] = {add("a"), add("b"), add("c")};
    half_opens();
    cr_assert_eq(dispatcher_take(dispatcher, 0), jobs[2], "the probe");
    breakers_succeeded(breakers, DEPENDENCY_PROVIDER);
    cr_assert_eq(dispatcher_take(dispatcher, 1), jobs[0], "one more may start");
    end(jobs[2]);
    cr_assert_eq(dispatcher_take(dispatcher, 0), jobs[1]);
    end(jobs[0]);
    end(jobs[1]);
}

Test(breakers, of_a_lone_session_with_more_to_do_no_attempt_is_the_last, .init = setup, .fini = teardown)
{
    struct task *head = add("lone");
    for (int i = 0; i < 3; i++)
        add("lone");
    cr_expect_eq(fails_as(head, WEIGHS_ONCE, false), BLAME_JOB, "it has attempts left");
    cr_expect_eq(metric_get(METRIC_breakers_open), 0);
    cr_expect_eq(fails_as(head, WEIGHS_ONCE, true), BLAME_PROVIDER);
    cr_expect_eq(metric_get(METRIC_breakers_open), 1);
    cr_expect_eq(breakers_intake(breakers, 4), INTAKE_CLOSED);
    half_opens();
    cr_expect_eq(fails_as(head, WEIGHS_ONCE, true), BLAME_PROVIDER);
    cr_expect_eq(breakers_intake(breakers, 4), INTAKE_ONE, "of another session, perhaps: it knows more");
    half_opens();
    breakers_succeeded(breakers, DEPENDENCY_PROVIDER);
    closes();
    end_all();
}

Test(breakers, a_lone_session_that_always_fails_waits_so_often_and_no_more, .init = setup, .fini = teardown)
{
    struct task *poison = add("lone"), *next = add("lone");
    int spared = 0;
    while (fails_as(poison, WEIGHS_ONCE, true) == BLAME_PROVIDER) {
        cr_assert_leq(++spared, BLAME_SPARED_MAX);
        half_opens();
    }
    cr_expect_eq(spared, BLAME_SPARED_MAX);
    cr_expect_eq(breakers_calls_max(breakers, 0), 1, "the next goes at once");
    cr_expect_eq(fails_as(poison, WEIGHS_ONCE, true), BLAME_JOB, "for good");
    cr_expect_eq(fails_as(next, WEIGHS_ONCE, false), BLAME_PROVIDER);
    end_all();
}

/* An attempt that fails at both of them counts once. */
Test(breakers, a_job_that_fails_at_two_providers_waits_as_often_as_at_one, .init = setup_two, .fini = teardown)
{
    struct error why = {.class = ERROR_RETRIABLE};
    struct breakers_failure how = {.weight = WEIGHS_ONCE, .last_attempt = true, .why = &why};
    struct task *poison = add("lone");
    int spared = 0;
    add("lone");
    while (breakers_provider_failed(breakers, 0, poison, &how) != BLAME_JOB && breakers_provider_failed(breakers, 1, poison, &how) != BLAME_JOB) {
        cr_assert_leq(++spared, BLAME_SPARED_MAX);
        half_opens();
    }
    cr_expect_eq(spared, BLAME_SPARED_MAX);
    end_all();
}

Test(breakers, one_job_that_is_alone_has_its_attempts, .init = setup, .fini = teardown)
{
    for (int i = 0; i < 3; i++)
        add("gone");
    end_all(); /* those don't count any more */
    struct task *alone = add("lone");
    cr_expect_eq(fails_as(alone, WEIGHS_ONCE, true), BLAME_JOB, "a 500, or a time-out");
    cr_expect_eq(metric_get(METRIC_breakers_open), 0);
    cr_expect_eq(fails_as(alone, WEIGHS_EACH_TIME, true), BLAME_PROVIDER, "nobody is there");
    cr_expect_eq(metric_get(METRIC_breakers_open), 1);
    for (int i = 0; i < 2 * BLAME_SPARED_MAX; i++) {
        half_opens();
        cr_assert_eq(fails_as(alone, WEIGHS_EACH_TIME, true), BLAME_PROVIDER, "%d", i);
    }
    end_all();
}

Test(breakers, the_intake_is_closed_when_every_job_has_failed, .init = setup, .fini = teardown)
{
    struct task *first = add("a"), *second = add("b");
    cr_expect_eq(fails_as(first, WEIGHS_ONCE, true), BLAME_UNKNOWN, "the other is still under way");
    cr_expect_eq(breakers_intake(breakers, 2), INTAKE_FREE);
    cr_expect_eq(fails_as(first, WEIGHS_ONCE, true), BLAME_UNKNOWN, "often, and still one of two");
    cr_expect_eq(breakers_intake(breakers, 2), INTAKE_FREE);
    cr_expect_eq(fails_as(second, WEIGHS_ONCE, false), BLAME_JOB);
    cr_expect_eq(breakers_intake(breakers, 2), INTAKE_FREE);
    cr_expect_eq(fails_as(first, WEIGHS_ONCE, true), BLAME_PROVIDER);
    cr_expect_eq(breakers_intake(breakers, 2), INTAKE_CLOSED);
    for (int i = 0; i < 2 * (BLAME_SPARED_MAX - 4); i++) {
        half_opens();
        cr_assert_eq(fails_as(i % 2 ? first : second, WEIGHS_ONCE, true), BLAME_PROVIDER, "two sessions: %d", i);
    }
    end_all();
}

/* Each session's job always gets a 500, and no other job is there to show that others are answered. */
Test(breakers, two_sessions_that_always_fail_do_not_wait_for_each_other, .init = setup, .fini = teardown)
{
    struct task *first = add("a"), *second = add("b"), *behind = add("a");
    int spared = 0, more = 0;
    fails_as(second, WEIGHS_ONCE, true);
    while (fails_as(first, WEIGHS_ONCE, true) != BLAME_JOB) {
        cr_assert_leq(++spared, BLAME_SPARED_MAX + 1);
        half_opens();
    }
    cr_expect_geq(spared, BLAME_SPARED_MAX - 1);
    while (fails_as(second, WEIGHS_ONCE, true) != BLAME_JOB) {
        cr_assert_leq(++more, 2 * BLAME_SPARED_MAX + 1);
        half_opens();
    }
    cr_expect_geq(more, 2 * BLAME_SPARED_MAX - 2, "it has twice the patience");
    breakers_succeeded(breakers, DEPENDENCY_PROVIDER);
    cr_expect_neq(fails_as(behind, WEIGHS_ONCE, true), BLAME_JOB, "an answer begins anew");
    end_all();
}

Test(breakers, a_job_counts_anew_in_each_series_of_failures, .init = setup_two, .fini = teardown)
{
    struct task *head = add("lone");
    add("lone");
    cr_expect_eq(fails_as(head, WEIGHS_ONCE, false), BLAME_JOB);
    breakers_succeeded(breakers, DEPENDENCY_PROVIDER + 1);
    cr_expect_eq(fails_as(head, WEIGHS_ONCE, true), BLAME_PROVIDER, "it is the only one to ask");
    end_all();
}

/* ---- ways back ---- */

Test(breakers, after_an_outage_one_answer_and_a_pause_close_it_with_many_threads, .init = setup, .fini = teardown)
{
    static const int dependencies[] = {DEPENDENCY_REDIS, DEPENDENCY_PROVIDER};
    for (size_t i = 0; i < 2; i++) {
        opens(dependencies[i]);
        half_opens();
        breakers_succeeded(breakers, dependencies[i]);
        closes();
    }
}

Test(breakers, while_jobs_wait_to_be_admitted_it_stays_half_open, .init = setup, .fini = teardown)
{
    opens(DEPENDENCY_PROVIDER);
    half_opens();
    for (int i = 0; i < 3; i++)
        add(i == 0 ? "a" : i == 1 ? "b" : "c"); /* per-thread form: they go to the ready list as they are admitted */
    breakers_succeeded(breakers, DEPENDENCY_PROVIDER);
    half_opens();
    cr_expect_eq(metric_get(METRIC_breakers_open), 1);
    cr_expect_eq(breakers_calls_max(breakers, 0), 2);
    end_all();
    closes();
}

Test(breakers, whom_a_question_did_without_stays_half_open, .init = setup_two, .fini = teardown)
{
    opens(DEPENDENCY_PROVIDER);
    half_opens();
    breakers_succeeded(breakers, DEPENDENCY_PROVIDER);
    for (int i = 0; i < 3; i++) {
        breakers_waited_for(breakers, 0);
        half_opens();
        cr_assert_eq(metric_get(METRIC_breakers_open), 1);
    }
    half_opens();
    cr_expect_eq(metric_get(METRIC_breakers_open), 0);
}
