/* What a partition's head, its first job that isn't done, waits for now: its stage, as a state and in words. For the rules of what is stuck
 * (stuck_rules.h), and for the log and /healthz: when a completed set is full (committer.c) or a partition is stuck (liveness.c).
 * Any thread. Takes the locks of held_claims and of the dispatcher, one after the other and briefly; blocks never. */
#ifndef CHAT_INTAKE_HEAD_STATE_H
#define CHAT_INTAKE_HEAD_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "task/service.h"
#include "task/task.h"

enum head_state {
    HEAD_LANE,    /* waits behind another of its lane */
    HEAD_LINE,    /* to be begun */
    HEAD_SUSPECT, /* to be alone */
    HEAD_TIMER,
    HEAD_READY,   /* for a thread */
    HEAD_RUNNING, /* its claim is held, and its call hasn't ended */
    HEAD_TELLING, /* its call has ended, and the finish isn't stored in Redis yet */
    HEAD_REFUSED, /* as HEAD_TELLING, and Redis answered with an error for this job alone */
    HEAD_ENDING   /* with the begin thread; or stored in Redis, its reply not acknowledged yet */
};

/* As words of a sentence about the job. */
const char *head_state_name(enum head_state state);

/* What the job of this partition and offset waits for; *job gets its id, "" when it is ending. Searches all claims and the partition's waiting jobs. */
enum head_state head_state_find(const struct service *service, const struct partition *partition, int64_t offset, char *job, size_t size);

/* head_state_find for a job whose claim is held, and for one without a claim. */
enum head_state head_state_of_claim(const struct task *task);
enum head_state head_state_unclaimed(const struct service *service, const struct partition *partition, int64_t offset, char *job, size_t size);

#endif
