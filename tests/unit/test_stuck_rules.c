/* What is stuck, and what only waits. */
#include <criterion/criterion.h>

#include "intake/stuck_rules.h"

enum { BOUND = 1000, CALL = 500, WRITE = BOUND + STUCK_ACKNOWLEDGE_MS, LONG = 1000 * BOUND };

#define AWAY .redis_is_away = true
#define HELD .is_held_back = true

Test(stuck_rules, stuck_is_what_nothing_excuses)
{
    static const struct {
        const char *what;
        struct head_view view;
        bool stuck;
    } cases[] = {
        {"runs within its call's time, however long it has been the head", {HEAD_RUNNING, .in_state_ms = LONG, .running_ms = BOUND + CALL - 1, .still_ms = LONG}, false},
        {"runs beyond it", {HEAD_RUNNING, .running_ms = BOUND + CALL}, true},
        {"runs beyond it, and others go on", {HEAD_RUNNING, .running_ms = BOUND + CALL, .still_ms = 0}, true},
        {"runs beyond it, and Redis, a provider and the broker are away", {HEAD_RUNNING, .running_ms = BOUND + CALL, AWAY, HELD}, true},
        {"waits for a thread for ever", {HEAD_READY, .in_state_ms = BOUND + CALL, .still_ms = BOUND + CALL}, true},
        {"waits for a thread, and others have theirs", {HEAD_READY, .in_state_ms = LONG, .still_ms = BOUND + CALL - 1}, false},
        {"waits for a thread, not yet for long", {HEAD_READY, .in_state_ms = BOUND + CALL - 1, .still_ms = LONG}, false},
        {"waits to be begun for ever", {HEAD_LINE, .in_state_ms = BOUND + CALL, .still_ms = BOUND + CALL}, true},
        {"waits to be begun, and others are", {HEAD_LINE, .in_state_ms = LONG, .still_ms = BOUND + CALL - 1}, false},
        {"waits to be begun while a breaker bounds that", {HEAD_LINE, .in_state_ms = LONG, .still_ms = LONG, HELD}, false},
        {"waits to be begun while Redis is away", {HEAD_LINE, .in_state_ms = LONG, .still_ms = LONG, AWAY}, false},
        {"waits behind another of its session for ever", {HEAD_LANE, .in_state_ms = BOUND + CALL, .still_ms = BOUND + CALL}, true},
        {"waits for a retry or a claim", {HEAD_TIMER, .in_state_ms = LONG, .still_ms = LONG, .broker_answers_ms = LONG}, false},
        {"a suspect waits to be alone", {HEAD_SUSPECT, .in_state_ms = LONG, .still_ms = LONG, .broker_answers_ms = LONG}, false},
        {"Redis isn't told, and answers", {HEAD_TELLING, .in_state_ms = WRITE}, true},
        {"Redis isn't told, not yet for long", {HEAD_TELLING, .in_state_ms = WRITE - 1, .still_ms = LONG}, false},
        {"Redis isn't told while a provider is away", {HEAD_TELLING, .in_state_ms = WRITE, HELD}, true},
        {"Redis isn't told, and is away", {HEAD_TELLING, .in_state_ms = LONG, .still_ms = LONG, AWAY}, false},
        {"Redis refuses to be told", {HEAD_REFUSED, .in_state_ms = LONG, .still_ms = LONG}, false},
        {"its reply waits for a broker that is away", {HEAD_ENDING, .in_state_ms = LONG}, false},
        {"its reply waits since the broker came back", {HEAD_ENDING, .in_state_ms = LONG, .broker_answers_ms = WRITE - 1}, false},
        {"its reply isn't acknowledged by a broker that answers", {HEAD_ENDING, .in_state_ms = WRITE - 1, .still_ms = LONG, .broker_answers_ms = LONG}, false},
        {"nor for long after", {HEAD_ENDING, .in_state_ms = WRITE, .broker_answers_ms = WRITE}, true},
        {"it is begun again and again while Redis is away", {HEAD_ENDING, .in_state_ms = LONG, .broker_answers_ms = LONG, AWAY}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(stuck_rules_is_stuck(&cases[i].view, BOUND, CALL), cases[i].stuck, "%s", cases[i].what);
}
