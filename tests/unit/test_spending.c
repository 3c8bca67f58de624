/* What a call is estimated at, who pays for it, and that each reservation is in one list and leaves it once. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "llm/cost.h"
#include "quota/reservations.h"
#include "quota/settling.h"
#include "quota/tenant.h"
#include "task/task_part.h"

Test(spending, a_tenant_is_a_string_of_the_metadata)
{
    static const struct {
        const char *metadata, *tenant;
    } rows[] = {{NULL, NULL},
                {"null", NULL},
                {"[\"tenant\"]", NULL},
                {"{}", NULL},
                {"{\"tenant\":\"acme\"}", "acme"},
                {"{ \"a\" : {\"tenant\":\"inner\"} , \"tenant\" : \"acme\" }", "acme"},
                {"{\"tenant\":\"\"}", NULL},
                {"{\"tenant\":7}", NULL},
                {"{\"tenant\":[\"a\"]}", NULL},
                {"{\"tenant\":\"a\\\"b\\u00fc\"}", "a\"bü"},
                {"{\"tenant\":\"a\\u0000b\"}", NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct job job = {.metadata = (char *)(uintptr_t)rows[i].metadata};
        AUTO_FREE char *tenant = tenant_of(&job, "tenant");
        cr_expect(rows[i].tenant == NULL ? tenant == NULL : tenant != NULL && strcmp(tenant, rows[i].tenant) == 0, "%s: %s", rows[i].metadata, tenant);
    }
}

Test(spending, a_long_name_goes_by_its_hash)
{
    char metadata[400] = "{\"tenant\":\"";
    size_t start = strlen(metadata);
    memset(metadata + start, 'x', TENANT_BYTES_MAX);
    strcpy(metadata + start + TENANT_BYTES_MAX, "\"}");
    struct job job = {.metadata = metadata};
    AUTO_FREE char *longest = tenant_of(&job, "tenant");
    cr_assert_eq(strlen(longest), TENANT_BYTES_MAX);
    strcpy(metadata + start + TENANT_BYTES_MAX, "y\"}");
    AUTO_FREE char *one = tenant_of(&job, "tenant");
    metadata[start + TENANT_BYTES_MAX] = 'z';
    AUTO_FREE char *other = tenant_of(&job, "tenant");
    cr_assert(strncmp(one, "xxh3:", 5) == 0 && strlen(one) == 5 + 32 && strcmp(one, other) != 0);
}

static struct reservation of(size_t provider, enum reservation_state state)
{
    return (struct reservation){.provider = provider, .state = state, .permit_tokens = 10, .budget_tokens = RESERVED_NONE, .used_tokens = COST_TOKENS_UNKNOWN};
}

Test(spending, ends_go_to_the_calls_in_the_order_of_their_begins)
{
    struct reservations list = {0};
    struct reservation items[] = {of(0, RESERVED_CALLED), of(1, RESERVED_CALLED), of(0, RESERVED_CALLED)};
    for (size_t i = 0; i < 3; i++)
        reservations_add(&list, &items[i]);
    cr_assert(reservations_ended(&list, 0, true, 0), "refused for its length");
    cr_assert(reservations_ended(&list, 0, true, 7), "and asked once more");
    cr_assert_not(reservations_ended(&list, 0, true, 9));
    cr_assert_not(reservations_ended(&list, 2, true, 9), "it has no limits");
    cr_assert(reservations_ended(&list, 1, false, COST_TOKENS_UNKNOWN));
    cr_assert(list.items[0].used_tokens == 0 && list.items[2].used_tokens == 7);
    cr_assert(list.items[0].state == RESERVED_CALLED && list.items[1].state == RESERVED_UNUSED);
    reservations_finish(&list);
}

Test(spending, what_waits_stays_with_its_task_or_goes_unused)
{
    struct reservations task = {0}, completion = {0};
    struct reservation items[] = {of(0, RESERVED_CALLED), of(1, RESERVED_WAITS), of(2, RESERVED_UNUSED)};
    for (size_t i = 0; i < 3; i++) {
        items[i].tenant = strdup("acme");
        reservations_add(&task, &items[i]);
    }
    reservations_move(&task, &completion, true);
    cr_assert(task.count == 1 && completion.count == 2 && reservations_waiting(&task)->provider == 1);
    cr_assert_null(reservations_waiting(&completion));
    reservations_move(&task, &completion, false);
    cr_assert(task.count == 0 && completion.count == 3 && completion.items[2].state == RESERVED_UNUSED);
    cr_assert_null(reservations_waiting(&task));
    reservations_move(&task, &completion, false);
    cr_assert_eq(completion.count, 3, "once");
    reservations_finish(&task);
    reservations_finish(&completion);
}

Test(spending, completion_takes_them_from_the_job_and_leaves_the_one_that_waits_until_it_is_over)
{
    struct partition *partition = partition_create("jobs", 0, 1);
    struct record record = {.topic = strdup("jobs"), .timestamp_ms = -1};
    struct task *task = task_create(&record, partition);
    struct reservations completion = {0};
    struct reservation items[] = {of(0, RESERVED_CALLED), of(1, RESERVED_WAITS)};
    settling_take(task, &completion, false);
    cr_assert_eq(completion.count, 0, "it has asked for none");
    task->reservations = task_part_make(sizeof *task->reservations);
    task->rated = (struct rated_start){.waits = true, .provider = 1};
    for (size_t i = 0; i < 2; i++)
        reservations_add(task->reservations, &items[i]);
    settling_take(task, &completion, true);
    cr_assert(completion.count == 1 && task->rated.waits && reservations_waiting(task->reservations) != NULL);
    settling_take(task, &completion, false);
    cr_assert(completion.count == 2 && !task->rated.waits && task->reservations == NULL);
    reservations_finish(&completion);
    task_unref(task);
    partition_unref(partition);
}
