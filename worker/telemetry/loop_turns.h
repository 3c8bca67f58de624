/* How long the turns of event loops take. While one callback runs, all other jobs of its loop wait: each is measured, as the histogram
 * chat_loop_turn_seconds, and one of more than LOOP_TURN_LONG_MS is logged by its callback's name, at most once a second and loop.
 *
 * A turn is also what the watchdog judges: one that doesn't end makes the loop stuck.
 *
 * Thread: each loop's own, but for printing. */
#ifndef CHAT_TELEMETRY_LOOP_TURNS_H
#define CHAT_TELEMETRY_LOOP_TURNS_H

#include <stdint.h>
#include <stdio.h>

#define LOOP_TURN_LONG_MS 20

/* Before the first turn of the calling thread, which is the loop of this index. */
void loop_turns_are_of(int loop);
/* what: the callback, a constant. A turn within a turn belongs to the outer one. */
void loop_turn_begin(const char *what);
void loop_turn_end(void);

/* In Prometheus' text format 0.0.4; nothing without a turn. */
void loop_turns_print(FILE *out);
void loop_turns_clear(void); /* for tests */

#endif
