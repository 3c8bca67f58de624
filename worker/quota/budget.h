/* Budgets: how many tokens a tenant may use in one UTC day, counted in Redis for all workers; Redis' clock decides which
 * day it is. A take reserves an estimate before the call (llm/cost.h), a settle replaces it by the tokens used.
 *
 * Once for each call of a model: a job that is asked again takes and settles again. Tokens used after midnight count
 * for the day that they were reserved on. Refused: no call is made; after day_left_ms another day begins. A request of more
 * than the whole limit is refused on every day: the caller must check (tokens > limit_tokens).
 *
 * Guaranteed: spent and reserved together exceed the limit only by what calls used beyond their estimates. Not
 * guaranteed: a reservation that is never settled (a crash during the call, an answer that was lost) counts as spent
 * until its day ends; tokens that a failover of Redis forgets can be used twice.
 *
 * Each call runs n operations in one pipeline on one connection and blocks up to the connection's time-out; each
 * operation has its own answer or error (permanent: the key isn't a hash; unavailable: the worker's clock is days off;
 * then nothing was reserved). STATUS_FAILED with *err (unavailable): the connection is broken and marked so, nothing is
 * known to be reserved; a take may be repeated, at the risk of counting twice, a settle may not. Any
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
    int64_t limit_tokens; /* a day; 0 or less: none, tokens used are only counted */
    int64_t tokens;       /* the estimate */
    int64_t now_wall_ms;  /* the worker's clock, at most a day off: the script chooses among the days around it */
    /* Out. */
    struct error error; /* class NONE: answered */
    bool reserved;
    int64_t day;         /* days since 1970: for the settle */
    int64_t left_tokens; /* after the reservation, or, if refused, now; 0 without a limit */
    int64_t day_left_ms;
};

struct budget_settle_op {
    const char *tenant;
    int64_t day;             /* take's answer */
    int64_t tokens_reserved; /* the take's tokens */
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
