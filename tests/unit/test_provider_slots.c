/* Calls in flight to a provider: slots are taken and returned, and only the provider's answers change their number. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "llm/provider_slots.h"
#include "telemetry/held_back.h"

static struct settings settings;
static struct provider_settings providers[2];
static struct provider_slots *slots;

static void set_up(void)
{
    memset(providers, 0, sizeof providers);
    settings.providers = providers;
    settings.provider_count = settings.asked_count = 2;
    settings.worker.threads = 100;
    slots = provider_slots_create(&settings);
}

static void tear_down(void)
{
    provider_slots_destroy(slots);
}

TestSuite(provider_slots, .init = set_up, .fini = tear_down);

static void anew(void)
{
    provider_slots_destroy(slots);
    slots = provider_slots_create(&settings);
}

Test(provider_slots, a_slot_is_taken_once_and_comes_back_at_the_call_s_end_or_without_one)
{
    providers[0].in_flight_max = 2;
    anew();
    cr_expect_eq(provider_slots_limit(slots, 0), 2);
    cr_expect_eq(provider_slots_limit(slots, 1), SIZE_MAX, "each on its own");
    cr_assert(provider_slots_take(slots, 0, SIZE_MAX));
    cr_assert(provider_slots_take(slots, 0, SIZE_MAX));
    cr_expect_not(provider_slots_take(slots, 0, SIZE_MAX), "taken counts, also before the call has begun");
    uint32_t epoch = provider_slots_started(slots, 0);
    cr_expect_eq(provider_slots_inflight(slots, 0), 2, "a slot becomes a call");
    provider_slots_give_back(slots, 0);
    cr_expect_eq(provider_slots_inflight(slots, 0), 1);
    (void)provider_slots_ended(slots, 0, epoch, CALL_DROPPED);
    cr_expect_eq(provider_slots_inflight(slots, 0), 0);
    cr_assert(provider_slots_take(slots, 0, 1));
    cr_expect_not(provider_slots_take(slots, 0, 1), "what the breaker admits bounds it, too");
    cr_expect_not(provider_slots_take(slots, 1, 0));
}

Test(provider_slots, the_limit_is_told_as_held_back_while_all_of_it_is_in_use)
{
    int64_t now_ms = clock_mono_ms();
    providers[0].in_flight_max = 1;
    anew();
    cr_expect_eq(held_back_get(HELD_BACK_LIMIT, 0, now_ms), 0);
    cr_assert(provider_slots_take(slots, 0, SIZE_MAX));
    cr_expect_eq(held_back_get(HELD_BACK_LIMIT, 0, now_ms), 1);
    cr_expect_eq(held_back_get(HELD_BACK_LIMIT, 0, now_ms + 3600000), 1, "however long");
    cr_expect_eq(held_back_get(HELD_BACK_LIMIT, 1, now_ms), 0);
    provider_slots_give_back(slots, 0);
    cr_expect_eq(held_back_get(HELD_BACK_LIMIT, 0, clock_mono_ms() + HELD_BACK_LINGERS_MS), 0);
}

static void *takes_slots(void *arg)
{
    _Atomic size_t *most = arg;
    for (int i = 0; i < 20000; i++) {
        if (!provider_slots_take(slots, 0, SIZE_MAX))
            continue;
        uint32_t epoch = provider_slots_started(slots, 0);
        size_t now = provider_slots_inflight(slots, 0);
        if (now > atomic_load(most))
            atomic_store(most, now);
        (void)provider_slots_ended(slots, 0, epoch, CALL_GOOD);
    }
    return NULL;
}

Test(provider_slots, many_threads_at_once_never_take_more_than_there_are)
{
    pthread_t threads[8];
    _Atomic size_t most = 0;
    providers[0].in_flight_max = 3;
    anew();
    for (size_t i = 0; i < 8; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, takes_slots, &most), 0);
    for (size_t i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    cr_expect(most >= 1 && most <= 3, "%zu", (size_t)most);
    cr_expect_eq(provider_slots_inflight(slots, 0), 0);
}

static void ends(enum call_end how)
{
    uint32_t epoch = provider_slots_started(slots, 0);
    (void)provider_slots_ended(slots, 0, epoch, how);
}

Test(provider_slots, only_the_provider_s_own_word_moves_its_limit)
{
    static const enum call_end others[] = {CALL_FAILED, CALL_DROPPED, CALL_GOOD};
    for (int i = 0; i < 3000; i++)
        ends(CALL_GOOD);
    for (int i = 0; i < 3000; i++)
        ends(others[i % 3]);
    cr_expect_eq(provider_slots_limit(slots, 0), SIZE_MAX);
    ends(CALL_OVERLOADED);
    cr_expect_eq(provider_slots_limit(slots, 0), 90);
    cr_expect_eq(provider_slots_limit(slots, 1), SIZE_MAX);
}

Test(call_end, which_failures_are_overload)
{
    for (enum failure_kind kind = FAILURE_NONE; kind < FAILURE_KINDS; kind++) {
        struct llm_failure failure = {.kind = kind, .http_status = 429};
        bool is = kind == FAILURE_RATE || kind == FAILURE_OVERLOAD; /* not an empty account's, say */
        cr_expect_eq(call_end_of(&failure), is ? CALL_OVERLOADED : CALL_FAILED, "%s", failure_kind_name(kind));
    }
}
