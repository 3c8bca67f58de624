/* The claims this process holds in Redis, from begin's answer until they are settled, in the order in which they are due
 * to be renewed. Holds no reference: a claim is taken out before its task goes. Any thread; a mutex held briefly. */
#ifndef CHAT_DISPATCH_HELD_CLAIMS_H
#define CHAT_DISPATCH_HELD_CLAIMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatch/task.h"

struct held_claims;

struct held_claims *held_claims_create(int64_t lease_ms);
void held_claims_destroy(struct held_claims *claims); /* NULL is fine */

/* Sets task->claimed. */
void held_claims_add(struct held_claims *claims, struct task *task);
/* Clears it; not held: nothing happens. */
void held_claims_remove(struct held_claims *claims, struct task *task);

struct renewal {
    struct task *task;  /* a reference */
    struct claim claim; /* a copy: the task's holder may begin it again meanwhile; strings live with the task */
};
/* Up to max claims due for renewal, each with a reference, and due again a third of the lease later. */
size_t held_claims_take_due(struct held_claims *claims, struct renewal *renewals, size_t max);

/* Another holds this claim of the task now, says Redis: sets task->claim_lost. False: it isn't held here any more. */
bool held_claims_lose(struct held_claims *claims, struct task *task, const char *token);

/* Redis renewed it; at_ms: clock_mono_ms before it was asked. */
void held_claims_renewed(struct held_claims *claims, struct task *task, int64_t at_ms);
/* Has the lease passed since Redis last said that it is ours, as when the process was stopped? The task's holder. */
bool held_claims_ran_out(struct held_claims *claims, struct task *task);

/* Does the job of this partition and offset hold one? *job gets its id. Looks through all: for what is stuck only. */
bool held_claims_find(struct held_claims *claims, const struct partition *partition, int64_t offset, char *job, size_t size);

#endif
