/* Whose fault a failure is: a row for each rule of breakers/blame.h, and for each fact of a rule alone. */
#include <criterion/criterion.h>

#include "breakers/blame.h"

#define MAX BLAME_SPARED_MAX

Test(blame, is_the_jobs_or_the_providers)
{
    static const struct {
        const char *what;
        struct blame_facts facts;
        enum blame blame;
        bool counts;
    } rows[] = {
        {"attempts left", {.by_any = true, .sessions = 2, .failed = 4, .to_ask = 1, .in_hand = 4}, BLAME_JOB, false},
        {"at fault", {.at_fault = true, .last_attempt = true, .by_any = true, .sessions = 2, .failed = 4, .to_ask = 4, .in_hand = 4}, BLAME_JOB, false},
        {"at fault while it is away", {.at_fault = true, .away = true, .by_any = true, .sessions = 2, .failed = 4, .to_ask = 4, .in_hand = 4}, BLAME_JOB, false},
        {"alone, a 500", {.last_attempt = true, .failed = 1, .to_ask = 1, .in_hand = 1}, BLAME_JOB, false},
        {"alone, nobody there", {.last_attempt = true, .by_any = true, .failed = 1, .to_ask = 1, .in_hand = 1, .spared = MAX}, BLAME_PROVIDER, false},
        {"alone, after another that failed", {.last_attempt = true, .failed = 2, .to_ask = 1, .in_hand = 1}, BLAME_PROVIDER, true},
        {"alone by now, and away", {.away = true, .failed = 1, .to_ask = 1, .in_hand = 1}, BLAME_PROVIDER, true},
        {"a lone session", {.last_attempt = true, .failed = 1, .to_ask = 1, .in_hand = 4}, BLAME_PROVIDER, true},
        {"a lone session, away", {.away = true, .failed = 1, .to_ask = 1, .in_hand = 4}, BLAME_PROVIDER, true},
        {"a lone session, spared all but once", {.away = true, .last_attempt = true, .failed = 1, .to_ask = 1, .in_hand = 4, .spared = MAX - 1}, BLAME_PROVIDER, true},
        {"a lone session, spared out", {.away = true, .last_attempt = true, .failed = 1, .to_ask = 1, .in_hand = 4, .spared = MAX}, BLAME_JOB, false},
        {"a lone session, spared out, closed", {.last_attempt = true, .failed = 1, .to_ask = 1, .in_hand = 4, .spared = MAX}, BLAME_JOB, false},
        {"two sessions", {.last_attempt = true, .sessions = 2, .failed = 2, .to_ask = 2, .in_hand = 2}, BLAME_PROVIDER, true},
        {"four sessions, spared out", {.away = true, .last_attempt = true, .sessions = 4, .failed = 4, .to_ask = 4, .in_hand = 9, .spared = MAX}, BLAME_JOB, false},
        {"the same after another was given up", {.away = true, .last_attempt = true, .sessions = 4, .failed = 4, .to_ask = 4, .in_hand = 9, .spared = MAX, .given_up = 1}, BLAME_PROVIDER, true},
        {"it was spared twice as often", {.away = true, .last_attempt = true, .sessions = 4, .failed = 4, .to_ask = 4, .in_hand = 9, .spared = 2 * MAX, .given_up = 1}, BLAME_JOB, false},
        {"five sessions", {.last_attempt = true, .sessions = 5, .failed = 5, .to_ask = 5, .in_hand = 5, .spared = 9 * MAX}, BLAME_PROVIDER, false},
        {"five sessions, away", {.away = true, .sessions = 5, .failed = 5, .to_ask = 5, .in_hand = 5, .spared = 9 * MAX}, BLAME_PROVIDER, false},
        {"five sessions, a sixth not asked yet", {.last_attempt = true, .sessions = 5, .failed = 5, .to_ask = 6, .in_hand = 6, .spared = 9 * MAX}, BLAME_UNKNOWN, false},
        {"a lone session, after no job's doing", {.last_attempt = true, .no_jobs_doing = true, .sessions = 1, .failed = 1, .to_ask = 1, .in_hand = 4, .spared = 9 * MAX}, BLAME_PROVIDER, false},
        {"one failed, another not asked yet", {.last_attempt = true, .failed = 1, .to_ask = 2, .in_hand = 2}, BLAME_UNKNOWN, true},
        {"away, another not asked yet", {.away = true, .failed = 1, .to_ask = 2, .in_hand = 2}, BLAME_PROVIDER, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool counts;
        cr_expect_eq(blame_of(&rows[i].facts, &counts), rows[i].blame, "%s", rows[i].what);
        cr_expect_eq(counts, rows[i].counts, "%s", rows[i].what);
    }
}

Test(blame, who_is_spared_has_twice_the_patience_each_time)
{
    for (int given_up = 0; given_up < BLAME_DOUBLED_MAX; given_up++)
        cr_expect_eq(blame_spared_max(given_up + 1), 2 * blame_spared_max(given_up));
    cr_expect_eq(blame_spared_max(1000), blame_spared_max(BLAME_DOUBLED_MAX), "and no overflow");
}
