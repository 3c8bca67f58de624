/* The partitions that are ours, found by their numbers. */
#include <criterion/criterion.h>

#include "intake/grants.h"

static void expect_found(const struct grants *grants, const char *ids)
{
    size_t count = 0;
    for (int32_t id = 0; id < 10; id++) {
        struct partition *partition = grants_find(grants, "t", id);
        bool ours = strchr(ids, '0' + id) != NULL;
        cr_expect_eq(partition != NULL, ours, "%d", id);
        cr_expect(partition == NULL || partition->id == id);
        count += ours;
    }
    cr_expect_eq(grants->count, count);
    for (size_t i = 0; i < grants->count; i++)
        cr_expect_eq(grants_find(grants, "t", grants->partitions[i]->id), grants->partitions[i]);
}

Test(grants, each_is_found_by_its_number_whatever_came_and_went)
{
    struct grants grants = {0};
    expect_found(&grants, "");
    static const int32_t ids[] = {7, 0, 3, 9, 1};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        grants_add(&grants, "t", ids[i]);
    expect_found(&grants, "01379");
    struct partition *first = grants_find(&grants, "t", 7);
    cr_expect_eq(grants_add(&grants, "t", 7), first, "ours already");
    cr_expect_eq(grants.generation, 5);
    grants_forget(&grants, first);
    grants_forget(&grants, grants_find(&grants, "t", 1));
    expect_found(&grants, "039");
    cr_expect_eq(grants_add(&grants, "t", 7)->generation, 6, "granted again it is another");
    expect_found(&grants, "0379");
    cr_expect_null(grants_find(&grants, "other", 7));
    cr_expect_null(grants_find(&grants, "t", -1));
    cr_expect_null(grants_find(&grants, "t", 1000000));
    grants_finish(&grants);
}
