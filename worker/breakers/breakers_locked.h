/* What the files of the breakers share: their state, and the functions under its mutex. Private to breakers*.c. */
#ifndef CHAT_BREAKERS_BREAKERS_LOCKED_H
#define CHAT_BREAKERS_BREAKERS_LOCKED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mutex.h"
#include "breakers/breaker.h"
#include "breakers/breakers.h"
#include "breakers/intake_gate.h"

struct breakers {
    const struct settings *settings;
    struct dispatcher *dispatcher;
    atomic_bool calm; /* every breaker is closed and remembers no failure */
    atomic_bool limited; /* some provider has a limit of calls in flight */
    struct mutex lock; /* guards the rest */
    size_t bound;      /* as last given to the dispatcher */
    uint64_t series;   /* number of the present series of failures: grows with each answer, from 1 */
    int64_t failed;    /* jobs that have failed in this series, at a provider */
    int given_up;      /* jobs that were spared in this series and then given up (blame.h, rule 5) */
    bool probing;      /* jobs that start are probes */
    bool closed;       /* every usable provider is away, or Redis */
    struct intake_gate gate;
    size_t limits[PROVIDERS_MAX]; /* of calls in flight; SIZE_MAX: none */
    size_t count;
    struct breaker of[];
};

/* After any change of a breaker: sets what may start, and whether the intake takes records. */
void breakers_follow_locked(struct breakers *breakers);
/* A breaker has opened, or failed its probe. */
void breakers_opened_locked(struct breakers *breakers, int dependency, const struct error *why);
/* Names the task's session for a breaker; without one, the job. */
uint64_t breakers_who_of(const struct task *task);

#endif
