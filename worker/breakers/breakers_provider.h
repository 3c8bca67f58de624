/* A provider's failure: whose fault it is (blame.h), and whether its breaker counts it. A part of breakers.h, under its mutex; called by a job's
 * thread for each provider that failed its question. Never blocks. */
#ifndef CHAT_BREAKERS_BREAKERS_PROVIDER_H
#define CHAT_BREAKERS_BREAKERS_PROVIDER_H

#include <stdbool.h>
#include <stddef.h>

#include "breakers/blame.h"
#include "breakers/breakers.h"
#include "llm/failure_kind.h"

/* A provider (index of settings.providers) failed for this task: whose fault it is (breakers/blame.h). A failure that can't be an outage's is
 * the job's (llm/failure_kind.h). A job that failed at a provider before others were answered there, and fails again, is at
 * fault from then on: it no longer counts against the provider and loses attempts even while a breaker is open; else, as the last job
 * left to probe with, it would keep the breaker open and wait for ever. */
struct breakers_failure {
    enum failure_weight weight;
    bool last_attempt; /* the job has failed as often as a job may, this time included */
    const struct error *why;
};
enum blame breakers_provider_failed(struct breakers *breakers, size_t provider, struct task *task, const struct breakers_failure *how);

#endif
