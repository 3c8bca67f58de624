/* Budgets: how many tokens a tenant may use in one UTC day, counted in Redis for all workers; Redis' clock says which
 * day it is. A take reserves an estimate before the call (llm/cost.h), a settle puts what was used in its place.
 *
 * Once for each call of a model: a job that is asked again takes and settles again. What is used after midnight counts
 * for the day that it was reserved on. Refused: no call is made; after day_left_ms another day begins. A request of more
 * than the whole limit is refused on every day: the caller's to see (tokens > limit_tokens).
 *
 * What holds: spent and reserved together never pass the limit but by what calls used beyond their estimates. What
 * doesn't: a reservation that nobody settles (a crash in the middle of the call, an answer that was lost) counts as spent
 * until its day ends; what a failover of Redis forgets is had twice.
 *
 * Each call runs n operations in one pipeline on one connection and blocks up to the connection's time-out; each
 * operation has its own answer or error (permanent: the hash is something else; unavailable: the worker's clock is days off;
 * then nothing was reserved). STATUS_FAILED with *err (unavailable): the connection is broken and marked so, nothing is
 * reserved as far as the caller knows; a take may be repeated, at the risk of counting twice, a settle may not. Any
 * thread; one connection, one thread at a time.
 * Keys: PREFIX:budget:{TENANT}:YYYY-MM-DD, hashes of spent and reserved, for two days after the last change. */
#ifndef CHAT_QUOTA_BUDGET_H
#define CHAT_QUOTA_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "llm/cost.h"

struct redis_conn; /* redis/redis_pool.h */

/* Strings are borrowed for the length of the call. */
struct budget_op {
    const char *tenant; /* not empty */
    int64_t limit_tokens; /* a day; 0 or less: none, and what is used is only counted */
    int64_t tokens;       /* the estimate */
    int64_t now_wall_ms;  /* the worker's clock, at most a day off: names the days that Redis chooses from */
    /* Out. */
    struct error error; /* class NONE: answered */
    bool reserved;
    int64_t day;         /* days since 1970: for the settle */
    int64_t left_tokens; /* after the reservation, or what there was instead; 0 without a limit */
    int64_t day_left_ms;
};

struct budget_settle_op {
    const char *tenant;
    int64_t day;             /* take's answer */
    int64_t tokens_reserved; /* what take was asked for */
    int64_t tokens_used;     /* 0: the call wasn't made; COST_TOKENS_UNKNOWN: the estimate counts as used */
    struct error error;      /* out */
};

enum status budget_take(struct redis_conn *conn, const char *key_prefix, struct budget_op *ops, size_t n,
                        struct error *err) MUST_CHECK;
enum status budget_settle(struct redis_conn *conn, const char *key_prefix, struct budget_settle_op *ops, size_t n,
                          struct error *err) MUST_CHECK;

#define BUDGET_DAY_SIZE sizeof "YYYY-MM-DD"

/* Writes the name of a day (days since 1970). Pure. */
void budget_day_name(int64_t day, char ret[BUDGET_DAY_SIZE]);

#endif
