/* How many calls of one provider may be in flight. Pure: the owner (provider_slots.c) locks, counts the calls and passes the
 * time.
 *
 * Only the provider's answers change the limit: an overload answer (a rate, 503, 529) lowers it, good answers raise it.
 * Durations don't: an answer takes as long as its text.
 *
 *   lower   by a tenth, or by half the share of overload answers among the last two hundred where that is more; once for all
 *           calls that were under way, and not while no call is answered: that is an outage, which the breaker judges
 *   raise   below `stood`, the last limit that proved good, by one for each good answer (TCP's slow start: twice as much after each
 *           round), whether the limit is used or not; above it only while at least half is used, slowly at first and faster the
 *           longer no overload answer came (as TCP's CUBIC does), at most as fast as below
 *   stood   rises when a round of answers at a higher limit was good. It falls only when one answer in fourteen or more is
 *           overload: one among many good ones means that one call came at a bad time, not that there should be fewer. So
 *           a provider that was hardly used keeps its limit, and regains it after a few answers.
 *
 * The limit begins at the ceiling, the worker's jobs at once or in_flight_max: without overload answers the adaptive part holds no call back. */
#ifndef CHAT_LLM_INFLIGHT_LIMIT_H
#define CHAT_LLM_INFLIGHT_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INFLIGHT_MIN 2 /* a single call would detect a recovery too slowly */

struct inflight_limit {
    bool adaptive;
    size_t ceiling;  /* never above */
    bool is_bounded; /* the ceiling is in_flight_max: in force also without overload answers */
    double limit, stood;
    uint32_t epoch;  /* grows when the limit is lowered */
    bool answered;   /* there was a good answer since then */
    int64_t lowered_ms;
    double good, refused; /* of the last two hundred answers or so */
    double round;    /* good answers, while the limit was in use, since it was lowered or `stood` rose */
};

/* in_flight_max: 0: none. */
void inflight_limit_init(struct inflight_limit *limit, size_t threads, size_t in_flight_max, bool adaptive);
/* SIZE_MAX: none. */
size_t inflight_limit_get(const struct inflight_limit *limit);

/* A call ended, well or with overload. in_flight: how many there were, this one included. began_under: the epoch at its start. */
void inflight_limit_good(struct inflight_limit *limit, size_t in_flight, int64_t now_ms);
void inflight_limit_overloaded(struct inflight_limit *limit, uint32_t began_under, int64_t now_ms);

#endif
