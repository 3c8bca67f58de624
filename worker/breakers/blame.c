#include "breakers/blame.h"

enum blame blame_of(const struct blame_facts *facts, bool *ret_counts)
{
    bool is_outage = facts->by_any || facts->several;
    bool is_alone = facts->in_hand <= 1 && facts->failed <= 1;
    *ret_counts = false;
    if (facts->at_fault)
        return BLAME_JOB;
    if (!facts->away && !facts->last_attempt)
        return BLAME_JOB;
    if (!is_outage && ((is_alone && !facts->away) || facts->spared >= BLAME_SPARED_MAX))
        return BLAME_JOB;
    *ret_counts = !is_outage;
    return facts->away || facts->failed >= facts->to_ask ? BLAME_PROVIDER : BLAME_UNKNOWN;
}
