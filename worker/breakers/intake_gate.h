/* Whether the intake takes records while a dependency is away: pure; its owner (breakers/breakers.c) brings the breakers, under its lock.
 *
 * What is parked already is what the breakers probe with, so the intake is closed. But those may all be jobs that always fail, and
 * with none parked nobody would ever probe: so now and then one more is let in, from one partition. */
#ifndef CHAT_BREAKERS_INTAKE_GATE_H
#define CHAT_BREAKERS_INTAKE_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "breakers/breaker.h"

enum intake_gate_state {
    INTAKE_FREE,
    INTAKE_ONE,   /* what is parked was probed in vain, or nothing is: one job more */
    INTAKE_CLOSED
};

struct intake_gate {
    int let_in; /* failed probes when a job was last let in through the closed gate; -1: none was */
};

/* Probes are counted from the start: nothing is away, or something has just gone. */
void intake_gate_reset(struct intake_gate *gate);
/* away: no job could be answered. jobs_alive: how many are in memory. */
enum intake_gate_state intake_gate_look(const struct intake_gate *gate, bool away, const struct breaker *breakers, size_t count, int64_t jobs_alive);
/* A record came in while something was away. */
void intake_gate_let_in(struct intake_gate *gate, const struct breaker *breakers, size_t count);

#endif
