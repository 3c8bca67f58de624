/* The limit of calls in flight, alone and against a model of a provider with a clock of its own, which serves and
 * refuses calls by seed. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "llm/inflight_limit.h"

/* ---- alone ---- */

static struct inflight_limit made(size_t threads, size_t in_flight_max, bool adaptive)
{
    struct inflight_limit limit;
    inflight_limit_init(&limit, threads, in_flight_max, adaptive);
    return limit;
}

Test(inflight_limit, there_is_none_until_a_provider_complains)
{
    struct inflight_limit limit = made(100, 0, true);
    cr_expect_eq(inflight_limit_get(&limit), SIZE_MAX);
    inflight_limit_good(&limit, 100, 0);
    cr_expect_eq(inflight_limit_get(&limit), SIZE_MAX);
    inflight_limit_overloaded(&limit, limit.epoch, 0);
    cr_expect_eq(inflight_limit_get(&limit), 90, "a tenth less");
}

Test(inflight_limit, in_flight_max_is_in_force_from_the_start_and_bounds_what_comes_back)
{
    static const struct {
        size_t threads, max, want;
    } rows[] = {{100, 0, SIZE_MAX}, {100, 1, 1}, {100, 40, 40}, {100, 100, 100}, {100, 5000, 100}, {1, 0, SIZE_MAX}, {1, 3, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct inflight_limit limit = made(rows[i].threads, rows[i].max, true);
        cr_expect_eq(inflight_limit_get(&limit), rows[i].want, "row %zu", i);
        for (int64_t now = 0; now < 100; now++) {
            inflight_limit_overloaded(&limit, limit.epoch, now);
            inflight_limit_good(&limit, 1, now);
        }
        size_t least = rows[i].want < INFLIGHT_MIN ? rows[i].want : INFLIGHT_MIN, got = inflight_limit_get(&limit);
        cr_expect(got >= least || got == SIZE_MAX, "row %zu: %zu", i, got);
        for (int64_t now = 0; now < 100000; now++)
            inflight_limit_good(&limit, rows[i].threads, now);
        cr_expect_eq(inflight_limit_get(&limit), rows[i].want, "row %zu", i);
    }
}

Test(inflight_limit, fixed_follows_nobody)
{
    struct inflight_limit limit = made(100, 8, false), none = made(100, 0, false);
    for (int i = 0; i < 1000; i++) {
        inflight_limit_good(&limit, 8, i);
        inflight_limit_overloaded(&limit, limit.epoch, i);
        inflight_limit_overloaded(&none, none.epoch, i);
    }
    cr_expect_eq(inflight_limit_get(&limit), 8);
    cr_expect_eq(inflight_limit_get(&none), SIZE_MAX);
}

Test(inflight_limit, is_lowered_once_for_all_calls_that_were_under_way)
{
    struct inflight_limit limit = made(100, 0, true);
    uint32_t began = limit.epoch;
    for (int i = 0; i < 40; i++)
        inflight_limit_overloaded(&limit, began, 0);
    cr_expect_eq(inflight_limit_get(&limit), 90);
    inflight_limit_good(&limit, 50, 0);
    inflight_limit_overloaded(&limit, began, 0);
    cr_expect_eq(inflight_limit_get(&limit), 91, "it began before it was lowered; the good answer gave one back");
}

Test(inflight_limit, an_outage_is_no_overload)
{
    struct inflight_limit limit = made(100, 0, true);
    for (int i = 0; i < 1000; i++)
        inflight_limit_overloaded(&limit, limit.epoch, i);
    cr_expect_eq(inflight_limit_get(&limit), 90, "nobody was answered: lowered once, the rest is the breaker's");
}

Test(inflight_limit, most_refused_lowers_it_by_half_and_never_below_two)
{
    struct inflight_limit limit = made(1000, 0, true);
    size_t before = 1000;
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < 30; i++)
            inflight_limit_overloaded(&limit, limit.epoch, round);
        size_t now = inflight_limit_get(&limit);
        cr_expect(now <= before && (now >= before / 2 - 1 || now == INFLIGHT_MIN), "from %zu to %zu", before, now);
        inflight_limit_good(&limit, 2, round);
        before = inflight_limit_get(&limit);
    }
    cr_expect_leq(before, INFLIGHT_MIN + 1);
}

/* The overload answer came when three of a hundred were under way: it means little for a hundred. */
Test(inflight_limit, low_load_does_not_make_it_collapse)
{
    struct inflight_limit limit = made(100, 0, true);
    for (int blip = 0; blip < 500; blip++) {
        for (int i = 0; i < 50; i++)
            inflight_limit_good(&limit, 3, blip * 1000 + i);
        inflight_limit_overloaded(&limit, limit.epoch, blip * 1000 + 60);
        cr_assert_geq(inflight_limit_get(&limit), 88, "after %d", blip);
    }
    for (int i = 0; i < 12; i++)
        inflight_limit_good(&limit, 3, 600000);
    cr_expect_geq(inflight_limit_get(&limit), 100, "and comes back without being used");
}

Test(inflight_limit, comes_back_fast_to_where_it_stood_and_slowly_beyond)
{
    struct inflight_limit limit = made(100, 0, true);
    /* Half are refused for a while: the limit is lower. */
    for (int i = 0; i < 60; i++) {
        inflight_limit_overloaded(&limit, limit.epoch, 0);
        inflight_limit_good(&limit, 100, 0);
    }
    double stood = limit.stood;
    cr_assert_lt(stood, 50);
    for (int i = 0; i < 3 && limit.limit < stood; i++) {
        double before = limit.limit;
        inflight_limit_good(&limit, 100, 0);
        cr_expect(limit.limit == before + 1 || limit.limit == stood, "one for each answer");
    }
    while (limit.limit < stood)
        inflight_limit_good(&limit, 100, 0);
    double before = limit.limit;
    inflight_limit_good(&limit, 100, 100);
    cr_expect(limit.limit > before && limit.limit < before + 0.5, "slowly");
    before = limit.limit;
    inflight_limit_good(&limit, 100, 100000);
    cr_expect(limit.limit - before > 0.9, "after a long time without complaint as fast as ever");
    before = limit.limit;
    inflight_limit_good(&limit, (size_t)before / 4, 100000);
    cr_expect_eq(limit.limit, before, "what isn't used proves nothing about more");
}

/* ---- with a provider ---- */

#define THREADS 64
#define CALLS_MAX 1024
#define REFUSAL_MS 3
#define BACKOFF_MS 100

/* Serves up to `capacity` at once and refuses the rest; refuses one in `flaky` of those that it could serve, too (0: none). */
struct model {
    struct inflight_limit limit;
    unsigned random;
    size_t load, capacity; /* jobs that could run at once */
    int64_t latency_ms;
    int flaky;
    struct {
        int64_t end_ms;
        uint32_t epoch;
        bool served, running;
    } calls[CALLS_MAX];
    size_t in_flight, serving;
    int64_t not_before_ms[CALLS_MAX]; /* jobs that were refused wait for their backoff */
    int64_t good, refused;
};

static struct model model_of(unsigned seed, size_t load, size_t capacity, int64_t latency_ms)
{
    struct model model = {.random = seed, .load = load, .capacity = capacity, .latency_ms = latency_ms};
    inflight_limit_init(&model.limit, THREADS, 0, true);
    return model;
}

static void begin(struct model *model, size_t job, int64_t now_ms)
{
    bool flaky = model->flaky > 0 && rand_r(&model->random) % model->flaky == 0;
    bool served = model->serving < model->capacity && !flaky;
    int64_t takes_ms = served ? model->latency_ms / 2 + rand_r(&model->random) % model->latency_ms : REFUSAL_MS;
    model->calls[job].end_ms = now_ms + takes_ms;
    model->calls[job].epoch = model->limit.epoch;
    model->calls[job].served = served;
    model->calls[job].running = true;
    model->serving += served;
    model->in_flight++;
}

static void end(struct model *model, size_t job, int64_t now_ms)
{
    if (model->calls[job].served) {
        inflight_limit_good(&model->limit, model->in_flight, now_ms);
        model->serving--;
        model->good++;
    } else {
        inflight_limit_overloaded(&model->limit, model->calls[job].epoch, now_ms);
        model->not_before_ms[job] = now_ms + BACKOFF_MS;
        model->refused++;
    }
    model->calls[job].running = false;
    model->in_flight--;
}

/* From one ms to another; returns how many were answered. */
static int64_t run(struct model *model, int64_t from_ms, int64_t to_ms)
{
    int64_t before = model->good;
    for (int64_t now = from_ms; now < to_ms; now++) {
        for (size_t job = 0; job < CALLS_MAX; job++)
            if (model->calls[job].running && model->calls[job].end_ms <= now)
                end(model, job, now);
        size_t limit = inflight_limit_get(&model->limit), bound = model->load < THREADS ? model->load : THREADS;
        for (size_t job = 0; job < model->load && model->in_flight < bound && model->in_flight < limit; job++)
            if (!model->calls[job].running && model->not_before_ms[job] <= now)
                begin(model, job, now);
    }
    return model->good - before;
}

#define SEEDS 20

static int64_t rate_of(size_t in_flight, int64_t latency_ms, int64_t for_ms)
{
    return (int64_t)in_flight * for_ms / latency_ms;
}

Test(inflight_limit_model, a_provider_that_serves_all_is_never_held_back_however_long_answers_take)
{
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct model model = model_of(seed, 200, 1000, 200);
        run(&model, 0, 5000);
        model.latency_ms = 3000; /* longer answers, or slower, without overload answers */
        run(&model, 5000, 30000);
        cr_expect_eq(inflight_limit_get(&model.limit), SIZE_MAX);
    }
}

Test(inflight_limit_model, throughput_stays_near_what_is_served_and_refusals_are_few)
{
    static const size_t capacities[] = {3, 8, 20, 50};
    for (size_t i = 0; i < sizeof capacities / sizeof *capacities; i++)
        for (unsigned seed = 1; seed <= SEEDS; seed++) {
            struct model model = model_of(seed, 400, capacities[i], 200);
            run(&model, 0, 10000); /* the limit settles */
            model.refused = 0;
            int64_t good = run(&model, 10000, 40000), most = rate_of(capacities[i], 200, 30000);
            cr_expect_gt(good * 100, most * 85, "%zu, seed %u: %lld of %lld", capacities[i], seed, (long long)good, (long long)most);
            cr_expect_lt(model.refused * 100, good * 8, "%zu, seed %u: %lld refused of %lld", capacities[i], seed, (long long)model.refused, (long long)good);
        }
}

Test(inflight_limit_model, it_follows_a_provider_down_and_up_again)
{
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct model model = model_of(seed, 400, 1000, 200);
        run(&model, 0, 5000);
        model.capacity = 8;
        run(&model, 5000, 10000);
        cr_expect_leq(inflight_limit_get(&model.limit), 16, "seed %u: %zu", seed, inflight_limit_get(&model.limit));
        model.capacity = 1000;
        run(&model, 10000, 25000);
        int64_t good = run(&model, 25000, 30000), most = rate_of(THREADS, 200, 5000);
        cr_expect_gt(good * 100, most * 95, "seed %u: %lld of %lld", seed, (long long)good, (long long)most);
    }
}

/* One overload answer, then none for ten seconds: at full load, and at a low one that becomes full. */
Test(inflight_limit_model, one_overload_answer_costs_at_most_a_tenth_of_the_next_ten_seconds)
{
    static const int64_t latencies[] = {50, 200, 1000, 4000};
    static const size_t loads[] = {400, 4};
    for (size_t i = 0; i < 8; i++)
        for (unsigned seed = 1; seed <= SEEDS; seed++) {
            struct model spared = model_of(seed, loads[i / 4], 1000, latencies[i % 4]);
            run(&spared, 0, 20000);
            struct model model = spared;
            inflight_limit_overloaded(&model.limit, model.limit.epoch, 20000);
            model.load = spared.load = 400;
            int64_t good = run(&model, 20000, 30000), most = run(&spared, 20000, 30000);
            cr_expect_geq(good * 10, most * 9, "latency %lld, load %zu, seed %u: %lld of %lld", (long long)latencies[i % 4], loads[i / 4], seed,
                          (long long)good, (long long)most);
        }
}

/* One in fifty is refused whatever the load: fewer calls would not help, and must not be the result. */
Test(inflight_limit_model, a_few_refusals_that_have_nothing_to_do_with_load_cost_little)
{
    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct model model = model_of(seed, 400, 1000, 200);
        model.flaky = 50;
        run(&model, 0, 10000);
        int64_t good = run(&model, 10000, 40000), most = rate_of(THREADS, 200, 30000);
        cr_expect_gt(good * 100, most * 85, "seed %u: %lld of %lld", seed, (long long)good, (long long)most);
    }
}

/* Whatever came before, a provider that serves all calls again soon has the full limit. */
Test(inflight_limit_model, it_is_never_stuck)
{
    for (unsigned seed = 1; seed <= 4 * SEEDS; seed++) {
        unsigned random = seed;
        struct model model = model_of(seed, 400, 1000, 200);
        int64_t now = 0;
        for (int phase = 0; phase < 10; phase++, now += 3000) {
            model.load = 1 + (size_t)rand_r(&random) % 400;
            model.capacity = (size_t)rand_r(&random) % 100;
            model.latency_ms = 20 + rand_r(&random) % 1000;
            model.flaky = rand_r(&random) % 3 == 0 ? 1 + rand_r(&random) % 100 : 0;
            run(&model, now, now + 3000);
            cr_expect_geq(inflight_limit_get(&model.limit), INFLIGHT_MIN);
        }
        model.load = 400;
        model.capacity = 1000;
        model.latency_ms = 200;
        model.flaky = 0;
        run(&model, now, now + 15000);
        int64_t good = run(&model, now + 15000, now + 20000), most = rate_of(THREADS, 200, 5000);
        cr_expect_gt(good * 100, most * 90, "seed %u: %lld of %lld", seed, (long long)good, (long long)most);
    }
}
