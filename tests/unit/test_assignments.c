/* The assigned partitions, found by their numbers. */
#include <criterion/criterion.h>

#include "intake/assignments.h"

static void expect_found(const struct assignments *assignments, const char *ids)
{
    size_t count = 0;
    for (int32_t id = 0; id < 10; id++) {
        struct partition *partition = assignments_find(assignments, "t", id);
        bool ours = strchr(ids, '0' + id) != NULL;
        cr_expect_eq(partition != NULL, ours, "%d", id);
        cr_expect(partition == NULL || partition->id == id);
        count += ours;
    }
    cr_expect_eq(assignments->count, count);
    for (size_t i = 0; i < assignments->count; i++)
        cr_expect_eq(assignments_find(assignments, "t", assignments->partitions[i]->id), assignments->partitions[i]);
}

Test(assignments, each_is_found_by_its_number_whatever_came_and_went)
{
    struct assignments assignments = {0};
    expect_found(&assignments, "");
    static const int32_t ids[] = {7, 0, 3, 9, 1};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        assignments_add(&assignments, "t", ids[i]);
    expect_found(&assignments, "01379");
    struct partition *first = assignments_find(&assignments, "t", 7);
    cr_expect_eq(assignments_add(&assignments, "t", 7), first, "ours already");
    cr_expect_eq(assignments.generation, 5);
    assignments_forget(&assignments, first);
    assignments_forget(&assignments, assignments_find(&assignments, "t", 1));
    expect_found(&assignments, "039");
    cr_expect_eq(assignments_add(&assignments, "t", 7)->generation, 6, "assigned again it is another");
    expect_found(&assignments, "0379");
    cr_expect_null(assignments_find(&assignments, "other", 7));
    cr_expect_null(assignments_find(&assignments, "t", -1));
    cr_expect_null(assignments_find(&assignments, "t", 1000000));
    assignments_finish(&assignments);
}
