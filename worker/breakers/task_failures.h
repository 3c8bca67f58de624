/* How a job has failed at the providers, which distinguishes its fault from theirs (blame.h): the breakers' part of a task. Made with the first
 * failure that may count against a provider, since later ones are compared with it, and freed with the task; NULL until then.
 * Only breakers_provider.c accesses it, under its lock, on the thread that holds the task. */
#ifndef CHAT_BREAKERS_TASK_FAILURES_H
#define CHAT_BREAKERS_TASK_FAILURES_H

#include <stdint.h>

#include "settings/settings.h"

struct task_failures {
    uint64_t after[PROVIDERS_MAX];  /* by provider: its number of successes at this job's last failure there */
    uint16_t at, at_fault;          /* bit i: the job has failed at provider i; others were answered there between two of its failures */
    uint64_t series;                /* the breakers' series in which the job was last counted */
    uint16_t spared[PROVIDERS_MAX]; /* by provider: how often rule 5 of blame.h has spared the job; an attempt may fail at several */
};

#endif
