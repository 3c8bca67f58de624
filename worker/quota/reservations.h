/* What a job has reserved for its calls of models, of providers' rates (permits.h) and of its tenant's day (budget.h), from
 * the take to the settle: each reservation is in exactly one list, and is removed when it is settled. Pure. All zero is empty.
 *
 * The quota's part of a task is such a list: made by spending_begin, the first time that permits or a budget apply, and freed
 * by settling_take, which moves its items to completion's list once the attempt is over (except the one that waits, whose time is task->rated);
 * NULL before and after. Only quota/ accesses it, on the thread that holds the task. */
#ifndef CHAT_QUOTA_RESERVATIONS_H
#define CHAT_QUOTA_RESERVATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum reservation_state {
    RESERVED_WAITS,  /* for a call that may start later: the job is parked until then. One in a list at most */
    RESERVED_CALLED, /* its call has begun; used_tokens is valid once it has ended */
    RESERVED_UNUSED  /* no call was made: all is returned */
};

#define RESERVED_NONE (-1)

struct reservation {
    size_t provider; /* index of settings.providers */
    enum reservation_state state;
    bool ended; /* CALLED: the call has ended */
    int64_t permit_tokens;  /* the estimate that the permit was taken for; RESERVED_NONE: the provider has no limits */
    int64_t budget_tokens;  /* the estimate reserved of the budget; RESERVED_NONE: no budget applies */
    int64_t budget_day;
    char *tenant;           /* owned; NULL without a budget */
    size_t skipped_turns;   /* WAITS: the question omits so many of the oldest turns, since its history is too long, or was refused */
    bool alone;             /* WAITS: omits all turns, since every provider refused it with its history */
    int64_t used_tokens;    /* CALLED: COST_TOKENS_UNKNOWN until the provider returns the usage */
};

struct reservations {
    struct reservation *items;
    size_t count, capacity;
};

/* Adds one; takes ownership of its strings. The pointer is valid until the next add. */
struct reservation *reservations_add(struct reservations *list, const struct reservation *reservation);
struct reservation *reservations_waiting(const struct reservations *list); /* NULL: none */
/* Stores the end of a call: of this provider's calls that haven't ended, the first. called: it was sent. False: there is none. */
bool reservations_ended(struct reservations *list, size_t provider, bool called, int64_t used_tokens);
/* Appends all to another list, those that wait as unused; keep_waiting: except the one that waits. */
void reservations_move(struct reservations *from, struct reservations *to, bool keep_waiting);
void reservations_finish(struct reservations *list); /* frees all, settled or not */

#endif
