/* Whose fault is a failure that speaks against a provider: the job's, which then loses an attempt and in the end becomes a dead
 * letter, or the provider's, which is waited for? Pure; breakers.c gathers the facts.
 *
 * A breaker says that a provider is away when five have failed there. An outage may meet fewer: a lone session has one job to
 * ask about at a time, and each would use up its attempts in its turn. So a job's last attempt isn't taken on its own word:
 *
 *   1. Others were answered between two of its failures: it is the job's, whatever the breaker says (at_fault).
 *   2. It has attempts left, and the breaker isn't open: it loses one, as ever.
 *   3. It failed as no job can make it fail (no connection, 429), or jobs of other sessions failed, too, and nobody was answered
 *      since: it is the provider's, for as long as that lasts.
 *   4. It is the only job there is, and none before it failed: it is the job's. Nothing else tells an outage from a job that always
 *      gets a 500, and nobody stands behind it.
 *   5. One session alone has failed so, by what a job can cause: its job is spared BLAME_SPARED_MAX times, and then it is the job's.
 *      With a retry.backoff_max_ms of 30 s that is some ten minutes; an outage that takes longer costs a lone session a job in each.
 *
 * So each wait ends: rule 3's with the first answer that somebody gets, or by the job's own deadline; rule 5's by its count.
 * What is the provider's costs no attempt. The intake is closed (the breaker opens) once as many jobs have failed, with nobody
 * answered between, as there are in hand to be asked; until then the job waits and others may show what is the matter. */
#ifndef CHAT_BREAKERS_BLAME_H
#define CHAT_BREAKERS_BLAME_H

#include <stdbool.h>
#include <stdint.h>

#define BLAME_SPARED_MAX 24

struct blame_facts {
    bool at_fault;     /* others were answered between two of this job's failures at this provider */
    bool away;         /* its breaker is open and wasn't answered since */
    bool last_attempt; /* the job has failed as often as a job may */
    bool by_any;       /* no job can cause this failure */
    bool several;      /* since the last answer there others have failed, too, or it was no job's doing */
    int64_t failed;    /* jobs that have failed since anybody was last answered, this one among them */
    int64_t to_ask;    /* jobs in hand that can be asked about: all but those behind another of their session */
    int64_t in_hand;   /* all of them */
    int spared;        /* how often this one was, by rule 5 */
};

enum blame {
    BLAME_JOB,
    BLAME_UNKNOWN,  /* it loses no attempt, and tries again after a while */
    BLAME_PROVIDER, /* it loses none, and waits for the breaker */
};

/* *ret_counts: rule 5 has spared it once more. */
enum blame blame_of(const struct blame_facts *facts, bool *ret_counts);

#endif
