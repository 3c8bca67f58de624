/* What a partition's head, its first job that isn't done, waits for now: with whom it is, as a state and in words. For the rules of what is stuck
 * (stuck_rules.h) and for people, where a commit is refused (committer.c) or /healthz fails (liveness.c).
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
    HEAD_RUNNING, /* its claim is held, and its end hasn't come */
    HEAD_TELLING, /* its end has come, and Redis isn't told yet */
    HEAD_REFUSED, /* the same, and Redis answered with an error for this job alone */
    HEAD_ENDING   /* with the begin thread, or told, and waits for its acknowledgement */
};

/* As words of a sentence about the job. */
const char *head_state_name(enum head_state state);

/* What the job of this partition and offset waits for; *job gets its id, "" when it is ending. Looks through all claims, and all of the partition's that wait. */
enum head_state head_state_find(const struct service *service, const struct partition *partition, int64_t offset, char *job, size_t size);

/* The same of a job whose claim is held, and of one that has none. */
enum head_state head_state_of_claim(const struct task *task);
enum head_state head_state_unclaimed(const struct service *service, const struct partition *partition, int64_t offset, char *job, size_t size);

#endif
