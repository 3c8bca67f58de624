/* Each reservation is in one list and leaves it once; an end belongs to one call. */
#include "quota/reservations.h"

#include <criterion/criterion.h>
#include <string.h>

#include "llm/cost.h"

static struct reservation of(size_t provider, enum reservation_state state)
{
    return (struct reservation){.provider = provider, .state = state, .permit_tokens = 10, .budget_tokens = RESERVED_NONE, .used_tokens = COST_TOKENS_UNKNOWN};
}

Test(reservations, ends_go_to_the_calls_in_the_order_of_their_begins)
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

Test(reservations, what_waits_stays_with_its_task_or_goes_unused)
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
