#include "breakers/blame.h"

#include "breakers/breaker.h"

int blame_spared_max(int given_up)
{
    return BLAME_SPARED_MAX << (given_up < BLAME_DOUBLED_MAX ? given_up : BLAME_DOUBLED_MAX);
}

enum blame blame_of(const struct blame_facts *facts, bool *ret_counts)
{
    bool is_outage = facts->by_any || facts->no_jobs_doing || facts->sessions >= BREAKER_FAILURES;
    bool is_alone = facts->in_hand <= 1 && facts->failed <= 1;
    *ret_counts = false;
    if (facts->at_fault)
        return BLAME_JOB;
    if (!facts->away && !facts->last_attempt)
        return BLAME_JOB;
    if (!is_outage && ((is_alone && !facts->away) || facts->spared >= blame_spared_max(facts->given_up)))
        return BLAME_JOB;
    *ret_counts = !is_outage;
    return facts->away || facts->failed >= facts->to_ask ? BLAME_PROVIDER : BLAME_UNKNOWN;
}
