/* Whose fault is a failure that speaks against a provider: the job's, which then loses an attempt and in the end becomes a dead
 * letter, or the provider's, which is waited for? Pure; breakers_provider.c gathers the facts.
 *
 * A breaker says that a provider is away when five have failed there. An outage may meet fewer: a lone session has one job to
 * ask about at a time, and each would use up its attempts in its turn. So a job's last attempt isn't taken on its own word:
 *
 *   1. Others were answered between two of its failures: it is the job's, whatever the breaker says (at_fault).
 *   2. It has attempts left, and the breaker isn't open: it loses one, as ever.
 *   3. It failed as no job can make it fail (no connection, 429), or so did another since anybody was answered, or jobs of five sessions
 *      failed: it is the provider's, for as long as that lasts.
 *   4. It is the only job there is, and none before it failed: it is the job's. Nothing else tells an outage from a job that always
 *      gets a 500, and nobody stands behind it.
 *   5. Fewer sessions have failed so, by what a job can cause: each may have come to a job that always gets a 500, and nobody else is there
 *      to show it. The job is spared BLAME_SPARED_MAX times, and then it is its own fault. If that was wrong, nobody is answered after it
 *      either, and each next one is spared twice as often as the last. With a retry.backoff_max_ms of 30 s the first is given up
 *      after some ten minutes for each session that fails, and an outage of a day costs seven jobs, not one in each ten minutes.
 *
 * So each wait ends: rule 3's with the first answer that somebody gets, or by the job's own deadline; rule 5's by its count.
 * What is the provider's costs no attempt. The intake is closed (the breaker opens) once as many jobs have failed, with nobody
 * answered between, as there are in hand to be asked; until then the job waits and others may show what is the matter. */
#ifndef CHAT_BREAKERS_BLAME_H
#define CHAT_BREAKERS_BLAME_H

#include <stdbool.h>
#include <stdint.h>

#define BLAME_SPARED_MAX 24
#define BLAME_DOUBLED_MAX 10 /* times that it is doubled at most */

struct blame_facts {
    bool at_fault;     /* others were answered between two of this job's failures at this provider */
    bool away;         /* its breaker is open and wasn't answered since */
    bool last_attempt; /* the job has failed as often as a job may */
    bool by_any;       /* no job can cause this failure */
    bool no_jobs_doing; /* since the last answer there somebody has failed as no job can make it fail */
    int sessions;      /* those whose jobs have failed since, this one's among them; BREAKER_FAILURES: or more */
    int64_t failed;    /* jobs that have failed since anybody was last answered, this one among them */
    int64_t to_ask;    /* jobs in hand that can be asked about: all but those behind another of their session */
    int64_t in_hand;   /* all of them */
    int spared;        /* how often this one was, by rule 5, at this provider */
    int given_up;      /* jobs that were spared so often, and then weren't, since the last answer */
};

enum blame {
    BLAME_JOB,
    BLAME_UNKNOWN,  /* it loses no attempt, and tries again after a while */
    BLAME_PROVIDER, /* it loses none, and waits for the breaker */
};

/* How often rule 5 spares a job. */
int blame_spared_max(int given_up);
/* *ret_counts: rule 5 has spared it once more. */
enum blame blame_of(const struct blame_facts *facts, bool *ret_counts);

#endif
