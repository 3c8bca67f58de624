#include "completion/txn_admission.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "completion/txn_shares.h"

/* Admits ends by all rules but the completed set's. */
static void admit_in_order(struct end_queue *ends)
{
    bool open = true, company = ends->sent.first != NULL;
    for (struct task *task = ends->owed.first; task != NULL; task = task->next)
        task->end->admitted = false;
    if (company && ends->sent.first->end->apart)
        return;
    for (struct task *task = ends->owed.first; task != NULL && open; task = task->next) {
        open = !task->end->apart;
        task->end->admitted = open || !company;
        company = true;
    }
}

static bool is_admitted(const struct task *task)
{
    return task->end->admitted;
}

/* Tries all first: all may fit where half doesn't, since a set that is one run is small. */
static void limit(const struct end_queue *ends, struct partition *partition)
{
    AUTO_FREE int64_t *with = xcalloc(ends->sent.count + ends->owed.count + 1, sizeof *with);
    AUTO_FREE int64_t *fresh = xcalloc(ends->owed.count + 1, sizeof *fresh);
    size_t n = offsets_of(&ends->owed, partition, is_admitted, fresh);
    size_t fit = n;
    for (; fit > 0; fit /= 2) {
        size_t inside = offsets_of(&ends->sent, partition, NULL, with);
        memcpy(with + inside, fresh, fit * sizeof *with);
        offsets_sort(with, inside + fit);
        if (partition_set_fits(partition, with, inside + fit))
            break;
    }
    partition->admitted_below = fit == n ? INT64_MAX : fresh[fit];
}

void txn_admit(struct end_queue *ends, size_t room)
{
    admit_in_order(ends);
    for (struct task *task = ends->owed.first; task != NULL; task = task->next)
        task->partition->admitted_below = INT64_MIN; /* not computed yet */
    for (struct task *task = ends->owed.first; task != NULL; task = task->next) {
        struct partition *partition = task->partition;
        if (!task->end->admitted)
            continue;
        bool full = atomic_load(&partition->set_is_full);
        if (partition->admitted_below == INT64_MIN && full)
            limit(ends, partition);
        else if (partition->admitted_below == INT64_MIN)
            partition->admitted_below = INT64_MAX;
        task->end->admitted = task->record.offset < partition->admitted_below && (room > 0 || full);
        room -= task->end->admitted && room > 0;
    }
}
