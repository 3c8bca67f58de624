/* What the dependencies allow: the breakers of each provider, of Redis and of the dead-letter topic, and what follows
 * from them. An outage doesn't turn into dead letters: while every provider is away, or Redis, few jobs start or
 * none, what failed for it waits without losing an attempt, and the intake takes no more: lag grows instead.
 * While the dead-letter topic refuses, the intake alone is closed.
 *
 *   journey, begin, completion ──failed, succeeded──▶ breakers ──permits──▶ dispatcher
 *                                timekeeper ──tick──▶          ──intake──▶ intake (reads it as it polls)
 *
 * Any thread; a mutex held briefly, and none at all while all is well. Its lock comes before the dispatcher's. */
#ifndef CHAT_BREAKERS_WEATHER_H
#define CHAT_BREAKERS_WEATHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "breakers/intake_gate.h"
#include "settings/settings.h"
#include "task/task.h"

struct dispatcher;
struct weather;

enum { WEATHER_REDIS, WEATHER_DEAD_TOPIC, WEATHER_PROVIDER /* + its index */ };

struct weather *weather_create(const struct settings *settings, struct dispatcher *dispatcher);
void weather_destroy(struct weather *weather); /* NULL is fine */

/* Redis or the dead-letter topic failed for this task. True: it is away, so that the failure is no fault of the job's; false
 * also while it recovers, since it answers others. */
bool weather_failed(struct weather *weather, int dependency, const struct task *task, const struct error *why);

void weather_succeeded(struct weather *weather, int dependency);
/* How many calls to a provider (index of settings.providers) may be in flight, by its answers; SIZE_MAX: any number. */
void weather_limit(struct weather *weather, size_t provider, size_t limit);
/* How many calls it may have now: its limit, and what its breaker gives. 0: it isn't to be asked. */
size_t weather_permits(struct weather *weather, size_t provider);
/* A question would have gone to it, and had no permit. */
void weather_waited_for(struct weather *weather, size_t provider);
/* No failure of it is remembered: it answered when it was asked last. */
bool weather_is_well(struct weather *weather, int dependency);
/* No failure is remembered of anything. */
bool weather_is_calm(const struct weather *weather);
/* Half-opens what is due. Timekeeper; false: all is well. */
bool weather_tick(struct weather *weather);

/* What the intake may take (breakers/intake_gate.h). jobs_alive: how many are in memory. */
enum intake_gate_state weather_intake(struct weather *weather, int64_t jobs_alive);
/* A record came in. */
void weather_let_in(struct weather *weather);

#endif
