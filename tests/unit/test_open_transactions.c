#include <criterion/criterion.h>

#include "intake/open_transactions.h"

#define BOUND_MS 1000

Test(open_transactions, what_stands_still_for_the_bound_is_told_once)
{
    struct standstill standstill = {0};
    cr_expect_not(standstill_look(&standstill, 7, 9, 100, BOUND_MS));
    cr_expect_not(standstill_look(&standstill, 7, 12, 100 + BOUND_MS - 1, BOUND_MS), "not for so long yet");
    cr_expect(standstill_look(&standstill, 7, 12, 100 + BOUND_MS, BOUND_MS));
    cr_expect_not(standstill_look(&standstill, 7, 15, 100 + 5 * BOUND_MS, BOUND_MS), "once");
}

Test(open_transactions, one_that_follows_another_is_another)
{
    struct standstill standstill = {0};
    cr_expect_not(standstill_look(&standstill, 7, 9, 100, BOUND_MS));
    cr_expect_not(standstill_look(&standstill, 8, 9, 100 + BOUND_MS, BOUND_MS), "a busy producer's: always one open, never the same");
    cr_expect_not(standstill_look(&standstill, 8, 9, 100 + 2 * BOUND_MS - 1, BOUND_MS));
    cr_expect(standstill_look(&standstill, 8, 9, 100 + 2 * BOUND_MS, BOUND_MS));
}

Test(open_transactions, what_is_read_to_its_end_holds_none)
{
    struct standstill standstill = {0};
    cr_expect_not(standstill_look(&standstill, 9, 9, 100, BOUND_MS));
    cr_expect_not(standstill_look(&standstill, 9, 9, 100 + 5 * BOUND_MS, BOUND_MS));
    cr_expect_not(standstill.stands);
}

Test(open_transactions, what_went_on_may_stand_still_again_at_the_same_offset)
{
    struct standstill standstill = {0};
    cr_expect_not(standstill_look(&standstill, 7, 9, 100, BOUND_MS));
    cr_expect(standstill_look(&standstill, 7, 9, 100 + BOUND_MS, BOUND_MS));
    cr_expect_not(standstill_look(&standstill, 9, 9, 200 + BOUND_MS, BOUND_MS));
    cr_expect_not(standstill_look(&standstill, 7, 9, 300 + BOUND_MS, BOUND_MS), "a topic made anew");
    cr_expect(standstill_look(&standstill, 7, 9, 300 + 2 * BOUND_MS, BOUND_MS));
}
