/* Whose fault is a failure that counts against a provider: the job's, which then loses an attempt and in the end becomes a dead
 * letter, or the provider's, for which the job waits? Pure; breakers_provider.c collects the facts.
 *
 * A breaker opens when five sessions have failed at a provider. An outage may affect fewer: a lone session has one job to
 * ask at a time, and each in turn would use up its attempts. So a job's last attempt isn't judged by its own failure alone:
 *
 *   1. Other jobs were answered between two of its failures: the job's fault, whatever the breaker's state (at_fault).
 *   2. It has attempts left, and the breaker isn't open: it loses one, as always.
 *   3. It failed in a way that no job can cause (no connection, 429), or another job did since the last answer, or jobs of five sessions
 *      failed: the provider's fault, as long as that lasts.
 *   4. It is the only job there is, and none before it failed: the job's fault. Nothing distinguishes an outage from a job that always
 *      gets a 500, and no other job waits behind it.
 *   5. Fewer sessions have failed, in ways that a job can cause: each may have a job that always gets a 500, and no other job is there
 *      to show it. The job is spared BLAME_SPARED_MAX times, and then it is the job's fault. If that was wrong, no job is answered after it
 *      either, and each next one is spared twice as often as the one before. With a retry.backoff_max_ms of 30 s the first is given up
 *      after some ten minutes for each session that fails, and an outage of a day costs seven jobs, not one in each ten minutes.
 *
 * So each wait ends: rule 3's with the first answer to any job, or by the job's own deadline; rule 5's by its count.
 * A failure that is the provider's costs no attempt. The intake is closed (the breaker opens) once as many jobs have failed, without an
 * answer between, as are in memory to be asked; until then the job waits and others may show whose fault it is. */
#ifndef CHAT_BREAKERS_BLAME_H
#define CHAT_BREAKERS_BLAME_H

#include <stdbool.h>
#include <stdint.h>

#define BLAME_SPARED_MAX 24
#define BLAME_DOUBLED_MAX 10 /* how often the number is doubled at most */

struct blame_facts {
    bool at_fault;     /* other jobs were answered between two of this job's failures at this provider */
    bool away;         /* its breaker is open, without an answer since */
    bool last_attempt; /* the job has failed as often as a job may */
    bool by_any;       /* no job can cause this failure */
    bool no_jobs_doing; /* since the last answer there, a job has failed in a way that no job can cause */
    int sessions;      /* sessions whose jobs have failed since, this one's included; BREAKER_FAILURES: so many or more */
    int64_t failed;    /* jobs that have failed since the last answer, this one included */
    int64_t to_ask;    /* jobs in memory that can be asked: all but those behind another of their session */
    int64_t in_hand;   /* all jobs in memory */
    int spared;        /* how often this job was spared by rule 5 at this provider */
    int given_up;      /* jobs that rule 5 has given up since the last answer */
};

enum blame {
    BLAME_JOB,
    BLAME_UNKNOWN,  /* the job loses no attempt, and tries again after a while */
    BLAME_PROVIDER, /* the job loses no attempt, and waits for the breaker */
};

/* How often rule 5 spares a job. */
int blame_spared_max(int given_up);
/* *ret_counts: rule 5 has spared the job once more. */
enum blame blame_of(const struct blame_facts *facts, bool *ret_counts);

#endif
