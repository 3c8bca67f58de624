/* How a job has failed at the providers, which tells its own fault from theirs (blame.h): the breakers' part of a task. Made with the first
 * failure that may speak against a provider, since each later one is measured by those before it, and freed with the task; NULL until then.
 * Only breakers_provider.c touches it, under its lock, on the thread of whoever holds the task. */
#ifndef CHAT_BREAKERS_TASK_FAILURES_H
#define CHAT_BREAKERS_TASK_FAILURES_H

#include <stdint.h>

#include "settings/settings.h"

struct task_failures {
    uint64_t after[PROVIDERS_MAX];  /* how many successes of others each knew at this job's last failure there */
    uint16_t at, at_fault;          /* bit i: it has failed at provider i; others were answered there between two of its failures */
    uint64_t series;                /* in which it was last counted: the breakers' */
    uint16_t spared[PROVIDERS_MAX]; /* how often each has spared it, by blame.h's rule 5: a try may fail at all of them */
};

#endif
