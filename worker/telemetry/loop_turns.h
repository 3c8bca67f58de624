/* How long the turns of event loops take. While one callback runs, all other jobs of its loop wait: each is measured, in the histogram
 * chat_loop_turn_seconds by its callback's name, and one of more than LOOP_TURN_LONG_MS is logged by that name, at most once a second and loop.
 *
 * A turn is also what the watchdog judges: one that doesn't end makes the loop stuck.
 *
 * Thread: each loop's own, but for printing. */
#ifndef CHAT_TELEMETRY_LOOP_TURNS_H
#define CHAT_TELEMETRY_LOOP_TURNS_H

#include <stdint.h>
#include <stdio.h>

#define LOOP_TURN_LONG_MS 20

/* Callbacks: id, name. */
#define LOOP_TURNS(T)                     \
    T(INBOX, "inbox")                     \
    T(START, "start")                     \
    T(WALK, "walk")                       \
    T(TIMER, "timer")                     \
    T(SOCKET, "socket")                   \
    T(CONNECT_TIMER, "connect_timer")     \
    T(CONNECT_SOCKET, "connect_socket")

enum loop_turn {
#define LOOP_TURN_ENUM(id, name) TURN_##id,
    LOOP_TURNS(LOOP_TURN_ENUM)
#undef LOOP_TURN_ENUM
        TURN_COUNT
};

/* Before the first turn of the calling thread, which is the loop of this index. */
void loop_turns_are_of(int loop);
/* A turn within a turn belongs to the outer one. */
void loop_turn_begin(enum loop_turn of);
void loop_turn_end(void);

/* In Prometheus' text format 0.0.4; nothing without a turn. */
void loop_turns_print(FILE *out);
void loop_turns_clear(void); /* for tests */

#endif
