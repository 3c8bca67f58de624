#include "breakers/intake_gate.h"

#define PROBES_PARKED_MAX 8 /* after so many failed probes each further one lets a new job in, however many are parked */

void intake_gate_reset(struct intake_gate *gate)
{
    gate->let_in = -1;
}

static int failed_probes(const struct breaker *breakers, size_t count)
{
    int most = 0;
    for (size_t i = 0; i < count; i++)
        if (breakers[i].state != BREAKER_CLOSED && breakers[i].failed_probes > most)
            most = breakers[i].failed_probes;
    return most;
}

/* How many failed probes let a job in: as many as jobs are parked, since these may all be of the kind that always fails. One if no
 * more than one session has failed. */
static int probes_enough(const struct breaker *breakers, size_t count, int64_t jobs_alive)
{
    bool several = false;
    for (size_t i = 0; i < count; i++)
        several = several || (breakers[i].state != BREAKER_CLOSED && breaker_several(&breakers[i]));
    return !several ? 1 : jobs_alive < PROBES_PARKED_MAX ? (int)jobs_alive : PROBES_PARKED_MAX;
}

enum intake_gate_state intake_gate_look(const struct intake_gate *gate, bool away, const struct breaker *breakers, size_t count, int64_t jobs_alive)
{
    int failed = failed_probes(breakers, count);
    bool probed_all = failed >= probes_enough(breakers, count, jobs_alive);
    /* With no job alive there is no probe: the last one let in ended without a call (its deadline, a stored reply, bad input). */
    bool one = jobs_alive == 0 || (probed_all && gate->let_in < failed);
    return !away ? INTAKE_FREE : one ? INTAKE_ONE : INTAKE_CLOSED;
}

void intake_gate_let_in(struct intake_gate *gate, const struct breaker *breakers, size_t count)
{
    gate->let_in = failed_probes(breakers, count);
}
