/* What the dependencies allow: the breakers of each provider, of Redis and of the dead-letter topic, and what follows
 * from them. An outage doesn't turn into dead letters: while every provider is away, or Redis, few jobs start or
 * none, jobs that failed because of it wait without losing an attempt, and the intake takes no more: lag grows instead.
 * While the dead-letter topic refuses records, only the intake is closed.
 *
 *   journey, begin, completion ──failed, succeeded──▶ breakers ──admitted──▶ dispatcher
 *                                timekeeper ──tick──▶          ──intake──▶ intake (reads it as it polls)
 *
 * Any thread; a mutex held briefly, and none at all while all is well. Its lock comes before the dispatcher's. */
#ifndef CHAT_BREAKERS_BREAKERS_H
#define CHAT_BREAKERS_BREAKERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "breakers/intake_gate.h"
#include "settings/settings.h"
#include "task/task.h"

struct dispatcher;
struct breakers;

enum { DEPENDENCY_REDIS, DEPENDENCY_DEAD_TOPIC, DEPENDENCY_PROVIDER /* + its index */ };

struct breakers *breakers_create(const struct settings *settings, struct dispatcher *dispatcher);
void breakers_destroy(struct breakers *breakers); /* NULL is fine */

/* Redis or the dead-letter topic failed for this task. True: it is away, so that the failure isn't the job's fault; false
 * also while it recovers, since it answers other jobs. */
bool breakers_failed(struct breakers *breakers, int dependency, const struct task *task, const struct error *why);

void breakers_succeeded(struct breakers *breakers, int dependency);
/* Sets how many calls to a provider (index of settings.providers) may be in flight, as computed from its answers; SIZE_MAX: any number. */
void breakers_limit(struct breakers *breakers, size_t provider, size_t limit);
/* How many calls the provider may have now, by its limit and its breaker. 0: it must not be asked. */
size_t breakers_calls_max(struct breakers *breakers, size_t provider);
/* A question had to wait for this provider, whose breaker admits no more. */
void breakers_waited_for(struct breakers *breakers, size_t provider);
/* No failure of the dependency is remembered: its last call succeeded. */
bool breakers_is_well(struct breakers *breakers, int dependency);
/* No failure of any dependency is remembered. */
bool breakers_are_calm(const struct breakers *breakers);
/* Half-opens breakers that are due. Timekeeper; false: no failure is remembered. */
bool breakers_tick(struct breakers *breakers);

/* What the intake may take (breakers/intake_gate.h). jobs_alive: how many are in memory. */
enum intake_gate_state breakers_intake(struct breakers *breakers, int64_t jobs_alive);
/* A record came in. */
void breakers_let_in(struct breakers *breakers);

#endif
