/* Arrays that grow. */
#include "base/alloc.h"

#include <criterion/criterion.h>
#include <stdint.h>

#include "base/cleanup.h"

Test(alloc, what_grows_one_by_one_is_seldom_copied)
{
    AUTO_FREE int64_t *items = NULL;
    size_t capacity = 0, grown = 0;
    for (size_t count = 0; count < 100000; count++) {
        size_t before = capacity;
        items = xgrow(items, &capacity, count + 1, sizeof *items);
        cr_assert_geq(capacity, count + 1);
        grown += capacity != before;
        items[count] = (int64_t)count;
    }
    cr_expect_leq(grown, 15, "%zu times", grown);
    for (size_t i = 0; i < 100000; i++)
        cr_assert_eq(items[i], (int64_t)i);
}

Test(alloc, what_is_needed_at_once_is_what_there_is)
{
    size_t capacity = 0;
    AUTO_FREE char *bytes = xgrow(NULL, &capacity, 1000, 1);
    cr_expect_eq(capacity, 1000);
    cr_expect_eq(xgrow(bytes, &capacity, 1000, 1), bytes);
    cr_expect_eq(capacity, 1000);
    cr_expect_null(xgrow(NULL, &(size_t){0}, 0, 1), "nothing is needed");
}
