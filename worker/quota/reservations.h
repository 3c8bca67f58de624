/* What a job has reserved for its calls of models, of providers' rates (permits.h) and of its tenant's day (budget.h), from
 * the take to the settle: each reservation is in exactly one list, and leaves it by being settled. Pure. All zero is empty.
 *
 * The quota's part of a task is such a list: made by spending_begin, the first time that permits or a budget are to be asked for, and freed
 * by settling_take, which moves it to completion's once the job's try is over (but for the one that waits, whose time is task->rated);
 * NULL before and after. Only quota/ touches it, on the thread of whoever holds the task. */
#ifndef CHAT_QUOTA_RESERVATIONS_H
#define CHAT_QUOTA_RESERVATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum reservation_state {
    RESERVED_WAITS,  /* for a call that may start later: the job is parked until then. One in a list at most */
    RESERVED_CALLED, /* its call has begun; used_tokens counts once it has ended */
    RESERVED_UNUSED  /* no call came of it: all is given back */
};

#define RESERVED_NONE (-1)

struct reservation {
    size_t provider; /* index of settings.providers */
    enum reservation_state state;
    bool ended; /* CALLED: its end is known */
    int64_t permit_tokens;  /* the estimate that the permit was taken for; RESERVED_NONE: the provider has no limits */
    int64_t budget_tokens;  /* the same of the budget; RESERVED_NONE: none applies */
    int64_t budget_day;
    char *tenant;           /* owned; NULL without a budget */
    size_t skipped_turns;   /* WAITS: the question goes without so many of the oldest, since its history is too long, or refused */
    bool alone;             /* WAITS: without any, since nobody took it with its history */
    int64_t used_tokens;    /* CALLED: COST_TOKENS_UNKNOWN until, and unless, the provider says */
};

struct reservations {
    struct reservation *items;
    size_t count, capacity;
};

/* Adds one; takes what it owns. The pointer is good until the next add. */
struct reservation *reservations_add(struct reservations *list, const struct reservation *reservation);
struct reservation *reservations_waiting(const struct reservations *list); /* NULL: none */
/* The call of this provider that began first and whose end isn't known has ended so. called: it was sent. False: there is none. */
bool reservations_ended(struct reservations *list, size_t provider, bool called, int64_t used_tokens);
/* Moves them to the end of another list, those that wait as unused; keep_waiting: but for the one that waits. */
void reservations_move(struct reservations *from, struct reservations *to, bool keep_waiting);
void reservations_finish(struct reservations *list); /* forgets all, settled or not */

#endif
