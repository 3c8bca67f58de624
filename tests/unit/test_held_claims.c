/* Which claims are renewed when, and which have expired unnoticed, as when the process was stopped. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "engine/timekeeper.h"
#include "session/held_claims.h"
#include "task/task_part.h"

enum { LEASE = 30000, UNTIL = 70000 };

static struct partition *partition;
static struct held_claims *claims;

static struct task *begun_at(int64_t sent_ms)
{
    static int count;
    struct record record = {.topic = xstrdup("jobs"), .timestamp_ms = -1, .offset = count++};
    struct task *task = task_create(&record, partition);
    task->begin = task_part_make(sizeof *task->begin);
    snprintf(task->begin->claim.token, sizeof task->begin->claim.token, "%032d", count);
    task->begin->claim.job_id = "j";
    task->begin->claim.session = "s";
    held_claims_add(claims, task, sent_ms, sent_ms + UNTIL);
    return task;
}

static void end(struct task *task)
{
    held_claims_remove(claims, task);
    task_unref(task);
}

static void setup_with(int64_t lease_ms)
{
    partition = partition_create("jobs", 0, 1);
    claims = held_claims_create(lease_ms);
}

static void setup(void)
{
    setup_with(LEASE);
}

static void teardown(void)
{
    held_claims_destroy(claims);
    partition_unref(partition);
}

/* Takes what is due at now_ms; returns how many, and the first. */
static size_t take(int64_t now_ms, size_t bytes_max, size_t max, struct task **ret_first)
{
    static struct renewal renewals[64];
    size_t n = held_claims_take_due(claims, now_ms, bytes_max, renewals, max);
    if (ret_first != NULL)
        *ret_first = n > 0 ? renewals[0].task : NULL;
    for (size_t i = 0; i < n; i++)
        task_unref(renewals[i].task);
    return n;
}

Test(held_claims, a_lease_runs_out_when_nobody_renewed_it, .init = setup, .fini = teardown)
{
    int64_t now_ms = clock_mono_ms();
    struct task *fresh = begun_at(now_ms - LEASE / 2), *old = begun_at(now_ms - LEASE - 1), *renewed = begun_at(now_ms - 3 * LEASE);
    cr_expect(held_claims_ran_out(claims, renewed));
    cr_expect(held_claims_renewed(claims, renewed, renewed->begin->claim.token, now_ms - LEASE / 2));
    cr_expect_not(held_claims_ran_out(claims, fresh));
    cr_expect(held_claims_ran_out(claims, old));
    cr_expect_not(held_claims_ran_out(claims, renewed));
    held_claims_remove(claims, old);
    held_claims_add(claims, old, clock_mono_ms(), UNTIL); /* begun again: the earlier claim is forgotten */
    cr_expect_not(held_claims_ran_out(claims, old));
    end(fresh);
    end(old);
    end(renewed);
}

Test(held_claims, the_oldest_is_due_first_however_late_its_begin_was_answered, .init = setup, .fini = teardown)
{
    struct task *later = begun_at(2000), *sooner = begun_at(1000), *first;
    cr_expect_eq(held_claims_next_ms(claims, 1000), 1000 + LEASE / 4, "nothing to do before");
    cr_expect_eq(take(1000 + LEASE / 4 - 1, SIZE_MAX, 64, NULL), 0);
    cr_expect_eq(take(1000 + LEASE / 3, SIZE_MAX, 64, &first), 1);
    cr_expect_eq(first, sooner);
    cr_expect_eq(take(2000 + LEASE / 3, SIZE_MAX, 64, &first), 2, "what isn't answered for stays due, and first");
    cr_expect_eq(first, sooner);
    cr_expect(held_claims_renewed(claims, sooner, sooner->begin->claim.token, 2000 + LEASE / 3));
    cr_expect_eq(take(2001 + LEASE / 3, SIZE_MAX, 64, &first), 1);
    cr_expect_eq(first, later);
    end(later);
    end(sooner);
    cr_expect_eq(held_claims_next_ms(claims, 0), INT64_MAX);
}

Test(held_claims, what_redis_refuses_comes_again_before_its_lease_is_out_and_holds_nobody_up, .init = setup, .fini = teardown)
{
    struct task *refused = begun_at(0), *other = begun_at(1), *first;
    int64_t now_ms = LEASE / 3 + 1;
    cr_expect_eq(take(now_ms, SIZE_MAX, 1, &first), 1);
    cr_expect_eq(first, refused);
    cr_expect(held_claims_refused(claims, refused, refused->begin->claim.token, now_ms));
    cr_expect_eq(take(now_ms, SIZE_MAX, 1, &first), 1);
    cr_expect_eq(first, other);
    cr_expect(held_claims_renewed(claims, other, other->begin->claim.token, now_ms));
    int tries = 0;
    for (; now_ms < LEASE; now_ms++)
        if (take(now_ms, SIZE_MAX, 1, &first) == 1 && first == refused) {
            held_claims_refused(claims, refused, refused->begin->claim.token, now_ms);
            tries++;
        } else if (first == other) {
            held_claims_renewed(claims, other, other->begin->claim.token, now_ms);
        }
    cr_expect_geq(tries, 3);
    end(refused);
    end(other);
}

Test(held_claims, an_answer_about_an_earlier_claim_of_the_task_counts_for_nothing, .init = setup, .fini = teardown)
{
    struct task *task = begun_at(0), *first;
    char before[33];
    memcpy(before, task->begin->claim.token, sizeof before);
    held_claims_remove(claims, task);
    snprintf(task->begin->claim.token, sizeof task->begin->claim.token, "%032x", 0xffff);
    held_claims_add(claims, task, 5000, 5000 + UNTIL);
    cr_expect_not(held_claims_renewed(claims, task, before, 100000));
    cr_expect_not(held_claims_refused(claims, task, before, 100000));
    cr_expect_not(held_claims_lose(claims, task, before));
    cr_expect_eq(take(5000 + LEASE / 3, SIZE_MAX, 64, &first), 1);
    cr_expect(held_claims_lose(claims, task, task->begin->claim.token));
    cr_expect(held_claims_is_lost(task));
    cr_expect_eq(take(100 * LEASE, SIZE_MAX, 64, NULL), 0, "what is lost isn't asked for any more");
    end(task);
}

Test(held_claims, a_renewal_goes_by_the_claim_that_it_is_of_whatever_becomes_of_the_task, .init = setup, .fini = teardown)
{
    struct task *task = begun_at(0);
    struct renewal renewal;
    cr_assert_eq(held_claims_take_due(claims, LEASE, SIZE_MAX, &renewal, 1), 1);
    held_claims_remove(claims, task);
    task->begun_ms = 5000;
    held_claims_add(claims, task, 5000, 5000 + UNTIL);
    cr_expect_eq(renewal.until_ms, UNTIL);
    task_unref(renewal.task);
    cr_assert_eq(held_claims_take_due(claims, 5000 + LEASE, SIZE_MAX, &renewal, 1), 1);
    cr_expect_eq(renewal.until_ms, 5000 + UNTIL);
    task_unref(renewal.task);
    end(task);
}

Test(held_claims, a_batch_is_bounded_in_bytes_and_holds_one_at_least, .init = setup, .fini = teardown)
{
    struct task *all[8];
    for (int i = 0; i < 8; i++)
        all[i] = begun_at(0);
    cr_expect_eq(take(LEASE, 1, 64, NULL), 1);
    cr_expect_eq(take(LEASE, 1100, 64, NULL), 4);
    cr_expect_eq(take(LEASE, SIZE_MAX, 64, NULL), 8);
    for (int i = 0; i < 8; i++)
        end(all[i]);
}

/* ---- a model: as many claims as there can be, the shortest lease, and a slow Redis ---- */

enum { SHORTEST = 3000, CLAIMS = 5000 + 256, BEGUN_AT_ONCE = 128, PLAYED_MS = 16000, ENDS_EVERY_MS = 25 };

struct life {
    struct task *task;
    int64_t safe_until_ms; /* no other worker can get the claim before */
    int64_t ends_ms;
};

static struct life lives[CLAIMS];
static unsigned state;

static int64_t below(int64_t bound)
{
    return bound > 0 ? (int64_t)((unsigned)rand_r(&state) % (unsigned)bound) : 0;
}

struct played {
    int64_t late;     /* claims whose lease had expired before Redis ran their renewal */
    int64_t renewals;
    size_t most_in_a_batch; /* once the first wave has been spread */
};

/* The worst that a time-out allows: a lease counts from when Redis was asked, answer_ms before its answer, and is prolonged just before an answer. */
static struct played play(int64_t answer_ms, int64_t call_ms, bool at_once)
{
    static struct renewal batch[CLAIMS];
    struct played played = {0};
    size_t batch_count = 0, begun = 0;
    int64_t batch_sent_ms = -1, begin_ms = 0, slept_ms = 0;
    setup_with(SHORTEST);
    state = 1;
    for (int64_t now_ms = 1; now_ms <= PLAYED_MS; now_ms++) {
        if (batch_sent_ms >= 0 && now_ms == batch_sent_ms + answer_ms) { /* its answer */
            for (size_t i = 0; i < batch_count; i++) {
                struct life *life = &lives[batch[i].task->received_ms];
                if (life->task == batch[i].task && held_claims_renewed(claims, batch[i].task, batch[i].claim.token, batch_sent_ms)) {
                    played.late += now_ms > life->safe_until_ms;
                    life->safe_until_ms = batch_sent_ms + SHORTEST;
                    played.renewals++;
                }
                task_unref(batch[i].task);
            }
            batch_sent_ms = -1;
            slept_ms = now_ms;
        }
        for (size_t i = 0; now_ms % ENDS_EVERY_MS == 0 && i < begun; i++) /* claims that end; new ones begin below in their places */
            if (lives[i].task != NULL && now_ms >= lives[i].ends_ms) {
                end(lives[i].task);
                lives[i].task = NULL;
            }
        if (now_ms >= begin_ms) { /* a begin's answer: sent answer_ms ago */
            begin_ms = now_ms + (at_once ? 0 : answer_ms);
            size_t room = at_once ? CLAIMS : BEGUN_AT_ONCE;
            for (size_t i = 0; (begun < CLAIMS || now_ms % ENDS_EVERY_MS == 0) && i < CLAIMS && room > 0; i++)
                if (i >= begun || lives[i].task == NULL) {
                    lives[i] = (struct life){.task = begun_at(now_ms - answer_ms), .safe_until_ms = now_ms - answer_ms + SHORTEST, .ends_ms = now_ms + 1 + below(2 * call_ms)};
                    lives[i].task->received_ms = (int64_t)i;
                    begun = i >= begun ? i + 1 : begun;
                    room--;
                }
        }
        if (batch_sent_ms < 0 && now_ms >= held_claims_next_ms(claims, slept_ms)) {
            batch_count = held_claims_take_due(claims, now_ms, SIZE_MAX, batch, CLAIMS);
            batch_sent_ms = batch_count > 0 ? now_ms : -1;
            slept_ms = now_ms;
            if (now_ms > PLAYED_MS / 2 && batch_count > played.most_in_a_batch)
                played.most_in_a_batch = batch_count;
        }
    }
    for (size_t i = 0; batch_sent_ms >= 0 && i < batch_count; i++)
        task_unref(batch[i].task);
    for (size_t i = 0; i < begun; i++)
        if (lives[i].task != NULL)
            end(lives[i].task);
    memset(lives, 0, sizeof lives);
    teardown();
    return played;
}

Test(held_claims, no_lease_runs_out_at_five_thousand_threads_the_shortest_lease_and_the_longest_time_out, .timeout = 120)
{
    static const int64_t answers_ms[] = {1, 20, 300, SHORTEST / 3};
    static const int64_t calls_ms[] = {700, 8000, 10 * PLAYED_MS};
    for (size_t a = 0; a < sizeof answers_ms / sizeof *answers_ms; a++)
        for (size_t c = 0; c < sizeof calls_ms / sizeof *calls_ms; c++)
            for (int at_once = 0; at_once <= 1; at_once++) {
                struct played played = play(answers_ms[a], calls_ms[c], at_once);
                cr_expect_eq(played.late, 0, "%lld leases ran out: answers of %lld ms, calls of %lld ms", (long long)played.late, (long long)answers_ms[a], (long long)calls_ms[c]);
                cr_expect(played.renewals > 0 || calls_ms[c] < SHORTEST / 3);
            }
}

Test(held_claims, claims_that_were_begun_at_once_are_not_renewed_at_once_for_ever, .timeout = 120)
{
    struct played played = play(1, 10 * PLAYED_MS, true);
    cr_expect_lt(played.most_in_a_batch, CLAIMS / 10, "%zu in one batch", played.most_in_a_batch);
    /* And not with many more renewals: at most one for each claim in a quarter of the lease. */
    cr_expect_leq(played.renewals, (int64_t)CLAIMS * PLAYED_MS / (SHORTEST / 4));
}

Test(timekeeper, a_heartbeat_counts_until_the_next_has_come_from_a_slow_redis)
{
    static struct provider_settings provider;
    static struct settings settings = {.redis = {.timeout_ms = 2000}, .providers = &provider, .provider_count = 1};
    cr_expect_eq(timekeeper_alive_ms(&settings), 10000, "a Redis as it usually is: who has died is known soon");
    settings.redis.timeout_ms = 60000; /* the pause of 3 s, and an answer before and after */
    cr_expect_geq(timekeeper_alive_ms(&settings), 123000);
    provider.requests_per_minute = 10; /* its line is looked at between two */
    cr_expect_geq(timekeeper_alive_ms(&settings), 183000);
}
