/* What one attempt of a job keeps for the next: chat's part of a task. Made when there is something to keep, freed by the first
 * attempt that isn't followed by another (retry, wait), else with the task; NULL: nothing is kept, as usual. Only chat/ accesses it, on the
 * task's thread. */
#ifndef CHAT_CHAT_ASKING_H
#define CHAT_CHAT_ASKING_H

#include <stdint.h>

#include "task/task.h"

struct asking {
    uint16_t refused_by; /* bit i: provider i has refused the history (question.h) */
    int64_t too_slow_ms; /* clock_mono_ms: since when the job waits for a provider's probe; 0: it doesn't */
};

uint16_t asking_refused_by(const struct task *task);
int64_t asking_too_slow_ms(const struct task *task);
void asking_set_refused_by(struct task *task, uint16_t providers);
void asking_set_too_slow_ms(struct task *task, int64_t since_ms);
/* After an attempt. */
void asking_end_try(struct task *task);

#endif
