#include <criterion/criterion.h>

#include "llm/cost.h"

Test(cost_tokens, is_a_quarter_of_the_bytes_and_all_of_the_answer)
{
    static const struct { size_t bytes; int64_t max_tokens, want; } table[] = {
        {0, 0, 0},
        {1, 0, 1},
        {4, 0, 1},
        {5, 0, 2},
        {4000, 0, 1000},
        {4000, 500, 1500},
        {4001, -1, 1001},
        {0, INT64_MAX, COST_TOKENS_MAX},
        {SIZE_MAX, 0, COST_TOKENS_MAX},
        {SIZE_MAX, INT64_MAX, COST_TOKENS_MAX},
        {8, INT64_MIN, 2},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        cr_expect_eq(cost_tokens(table[i].bytes, table[i].max_tokens), table[i].want, "row %zu", i);
}

Test(cost_tokens_ahead, is_a_burst_s_worth_at_most)
{
    static const struct {
        int64_t tokens, per_minute, burst_ms, want;
    } table[] = {
        {5, 100000, 6000, 5},
        {1000000000, 100000, 6000, 10000},
        {10000, 100000, 6000, 10000},
        {10001, 100000, 6000, 10000},
        {10001, 100000, 0, 1666},
        {10001, 100000, 1000, 1666},
        {50, 60, 0, 1},
        {50, 1, 0, 1},
        {50, 0, 6000, 50},
        {COST_TOKENS_MAX, INT64_MAX, INT64_MAX, 60 * COST_PER_MINUTE_MAX},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        cr_expect_eq(cost_tokens_ahead(table[i].tokens, table[i].per_minute, table[i].burst_ms), table[i].want, "row %zu", i);
}

Test(cost_tokens_most, is_what_a_minute_or_a_burst_holds)
{
    cr_expect_eq(cost_tokens_most(100000, 6000), 100000);
    cr_expect_eq(cost_tokens_most(100000, 0), 100000);
    cr_expect_eq(cost_tokens_most(100000, 120000), 200000);
    cr_expect_eq(cost_tokens_most(0, 6000), INT64_MAX, "no limit");
    cr_expect_eq(cost_tokens_most(INT64_MAX, INT64_MAX), 60 * COST_PER_MINUTE_MAX);
}

Test(cost_us, is_rounded_up_so_that_the_rate_is_never_passed)
{
    cr_expect_eq(cost_us(1, 60), 1000000);
    cr_expect_eq(cost_us(2, 60), 2000000);
    cr_expect_eq(cost_us(1, 7), 8571429, "60 s / 7 is 8571428.57 µs");
    cr_expect_eq(cost_us(7, 7), 60000000, "seven of them are a minute all the same");
    cr_expect_eq(cost_us(1, 90000), 667);
    cr_expect_eq(cost_us(1, COST_PER_MINUTE_MAX), 1);
    cr_expect_eq(cost_us(1500, 1000), 90000000, "more than a minute's worth");
}

Test(cost_us, is_nothing_without_a_limit_and_an_hour_at_most)
{
    cr_expect_eq(cost_us(1000, 0), 0);
    cr_expect_eq(cost_us(1000, -1), 0);
    cr_expect_eq(cost_us(0, 60), 0);
    cr_expect_eq(cost_us(-1, 60), 0);
    cr_expect_eq(cost_us(60 * 60, 60), COST_US_MAX);
    cr_expect_eq(cost_us(60 * 60 - 1, 60), COST_US_MAX - 1000000);
    cr_expect_eq(cost_us(INT64_MAX, 1), COST_US_MAX);
    cr_expect_eq(cost_us(INT64_MAX, INT64_MAX), COST_US_MAX);
    cr_expect_eq(cost_us(COST_PER_MINUTE_MAX * 60 - 1, INT64_MAX), COST_US_MAX, "rounded up");
}

/* Reservations and returns are counted separately: their difference must not depend on how they are split. */
Test(cost_us, never_grows_smaller_with_the_amount)
{
    for (int64_t rate = 1; rate < 3000; rate += 37)
        for (int64_t amount = 1; amount < 3000; amount += 41) {
            cr_assert_geq(cost_us(amount + 1, rate), cost_us(amount, rate));
            cr_assert_leq(cost_us(amount + 1, rate), cost_us(amount, rate) + cost_us(1, rate));
        }
}

Test(cost_burst_us, lets_one_through_at_the_least)
{
    cr_expect_eq(cost_burst_us(6000, 60), 6000000);
    cr_expect_eq(cost_burst_us(6000, 6), 10000000, "one a ten seconds");
    cr_expect_eq(cost_burst_us(0, 60), 1000000);
    cr_expect_eq(cost_burst_us(-5, 60), 1000000);
    cr_expect_eq(cost_burst_us(INT64_MAX, 60), COST_US_MAX);
    cr_expect_eq(cost_burst_us(6000, 0), 0, "no limit has no burst");
}
