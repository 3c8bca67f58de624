/* Rate permits: a provider's requests and tokens a minute, shared by all workers through Redis, by GCRA on Redis' clock
 * (scripts/permit_take.lua). No queue and no retry storm: a permit is taken once, for a start that may be in the future, and
 * then the job only waits for that time.
 *
 * Before a call, with the budget (budget.h) taken first, since its refusal lasts longer:
 *   permits_take   reserved, wait_ms 0: call now. Reserved, wait_ms > 0: park the job in a timer for so long, then call;
 *                  no second take is needed. Not reserved: the start would be later than max_wait_ms; nothing was taken,
 *                  and a new take makes sense after wait_ms - max_wait_ms at the earliest (with jitter).
 * After the call, whatever its result, once for each reservation (a retry takes and settles anew):
 *   permits_settle replaces the estimate by the tokens used; called = false returns the whole reservation (the job was cancelled
 *                  while it was parked, its claim was lost, no provider could be asked). The answer contains how long the line is
 *                  now (permits_line_ms), so that jobs parked for a later start can start earlier. A settle with
 *                  used and reserved both 0 changes nothing and may be made at any time, to read that.
 *
 * max_wait_ms is the time that the job can spare, not 0. Starts are assigned in the order of takes (returned permits
 * go to the next take). A call that costs more than a burst starts when no other reservation is left: in an
 * unbroken stream of small calls, that is never within the same max_wait_ms, so add burst_ms to it for such a call.
 *
 * Guaranteed: of the calls that start in any period, each limit admits at most its burst (or the last call, if
 * that alone is more), the rate times the period, and what was returned by then, because it may be used at once.
 * Not guaranteed: estimates are guesses until they are settled; a failover of Redis forgets what its replica didn't have; if Redis'
 * clock is set back, all wait that much longer. A reservation that is never settled expires as time passes.
 *
 * Each call runs n operations in one pipeline on one connection and blocks up to the connection's time-out; each
 * operation has its own answer or error (permanent: the key has another type; then nothing was reserved).
 * STATUS_FAILED with *err (unavailable): the connection is broken and marked so, nothing is known to be
 * reserved. A take may be repeated: the lost reservation expires. A settle may not: it would count twice.
 * Any thread; one connection, one thread at a time. Keys: PREFIX:permit:{PROVIDER}:requests and :tokens. */
#ifndef CHAT_QUOTA_PERMITS_H
#define CHAT_QUOTA_PERMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "llm/cost.h"
#include "settings/settings.h"

struct redis_conn; /* redis/redis_pool.h */

#define PERMITS_WAIT_MS_MAX (24 * 3600 * INT64_C(1000)) /* a longer max_wait_ms counts as this */

struct permit_limits {
    int64_t requests_per_minute; /* 0: no limit */
    int64_t tokens_per_minute;   /* 0: no limit */
    int64_t burst_ms; /* the burst, as time at the full rate (6000: a tenth of a minute's limit); at least one request */
};

struct permit_limits permits_limits_of(const struct provider_settings *provider);
bool permits_are_limited(const struct provider_settings *provider);

enum permit_limit { PERMIT_NO_LIMIT, PERMIT_REQUESTS, PERMIT_TOKENS };

/* Strings and limits are borrowed for the length of the call. */
struct permit_op {
    const char *provider; /* not empty */
    const struct permit_limits *limits;
    int64_t tokens; /* the estimate: cost_tokens */
    int64_t max_wait_ms;
    /* Out. */
    struct error error; /* class NONE: answered */
    bool reserved;
    int64_t wait_ms; /* from now until the start, reserved or not; 0: now */
    enum permit_limit waits_for; /* the limit with the longer wait */
    int64_t redis_us; /* Redis' clock at the take: Unix time in µs */
};

struct permit_settle_op {
    const char *provider;
    const struct permit_limits *limits;
    int64_t tokens_reserved; /* the take's tokens */
    int64_t tokens_used;     /* COST_TOKENS_UNKNOWN: the estimate stays */
    bool called;             /* false: no call was made, request and tokens are returned */
    /* Out. */
    struct error error;
    int64_t redis_us;
    int64_t requests_until_us, tokens_until_us; /* Redis' clock: when all reservations will be used up; 0: there are none */
};

/* ms after the settle from which all reservations of both limits fit into their bursts. From then on each
 * reserved start may be made, however late it was planned, since returned permits have shortened the line. Pure. */
int64_t permits_line_ms(const struct permit_settle_op *op);

enum status permits_take(struct redis_conn *conn, const char *key_prefix, struct permit_op *ops, size_t n,
                         struct error *err) MUST_CHECK;
enum status permits_settle(struct redis_conn *conn, const char *key_prefix, struct permit_settle_op *ops, size_t n,
                           struct error *err) MUST_CHECK;

#endif
