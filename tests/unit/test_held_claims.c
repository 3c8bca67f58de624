/* Whose claim has run out unheard, as when the process was stopped. */
#include <criterion/criterion.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "dispatch/held_claims.h"

enum { LEASE = 30000 };

static struct task *begun(struct partition *partition, int64_t ago_ms)
{
    struct record record = {.topic = xstrdup("jobs"), .timestamp_ms = -1};
    struct task *task = task_create(&record, partition);
    task->begin_sent_ms = clock_mono_ms() - ago_ms;
    return task;
}

Test(held_claims, a_lease_runs_out_when_nobody_renewed_it)
{
    struct partition *partition = partition_create("jobs", 0, 1);
    struct held_claims *claims = held_claims_create(LEASE);
    struct task *fresh = begun(partition, LEASE / 2), *old = begun(partition, LEASE + 1), *renewed = begun(partition, 3 * LEASE);
    held_claims_add(claims, fresh);
    held_claims_add(claims, old);
    held_claims_add(claims, renewed);
    cr_expect(held_claims_ran_out(claims, renewed));
    held_claims_renewed(claims, renewed, clock_mono_ms() - LEASE / 2);
    cr_expect_not(held_claims_ran_out(claims, fresh));
    cr_expect(held_claims_ran_out(claims, old));
    cr_expect_not(held_claims_ran_out(claims, renewed));
    held_claims_remove(claims, old);
    old->begin_sent_ms = clock_mono_ms(); /* begun again: what was before is forgotten */
    held_claims_add(claims, old);
    cr_expect_not(held_claims_ran_out(claims, old));
    struct task *all[] = {fresh, old, renewed};
    for (size_t i = 0; i < 3; i++) {
        held_claims_remove(claims, all[i]);
        task_unref(all[i]);
    }
    held_claims_destroy(claims);
    partition_unref(partition);
}
