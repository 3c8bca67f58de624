/* Whether the intake takes records while a dependency is away: pure; its owner (breakers/breakers.c) passes the breakers, under its lock.
 *
 * The breakers probe with the jobs that are parked already, so the intake is closed. But those may all be jobs that always fail, and
 * with none parked there would be no probe: so from time to time one more is let in, from one partition. */
#ifndef CHAT_BREAKERS_INTAKE_GATE_H
#define CHAT_BREAKERS_INTAKE_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "breakers/breaker.h"

enum intake_gate_state {
    INTAKE_FREE,
    INTAKE_ONE,   /* probes with the parked jobs failed, or none is parked: one more job */
    INTAKE_CLOSED
};

struct intake_gate {
    int let_in; /* failed probes when a job was last let in through the closed gate; -1: none was */
};

/* Starts counting probes: no dependency is away, or one has just failed. */
void intake_gate_reset(struct intake_gate *gate);
/* away: no job could be answered now. jobs_alive: how many are in memory. */
enum intake_gate_state intake_gate_look(const struct intake_gate *gate, bool away, const struct breaker *breakers, size_t count, int64_t jobs_alive);
/* A record came in while a dependency was away. */
void intake_gate_let_in(struct intake_gate *gate, const struct breaker *breakers, size_t count);

#endif
