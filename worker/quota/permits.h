/* Rate permits: a provider's requests and tokens a minute, shared by all workers through Redis, by GCRA on Redis' clock
 * (scripts/permit_take.lua). No queue and no retry storm: a permit is taken once, for a start that may lie ahead, and
 * then it is only waited for.
 *
 * Before a call, with the budget (budget.h) taken first, since its refusal lasts longer:
 *   permits_take   reserved, wait_ms 0: call now. Reserved, wait_ms > 0: park the job in a timer for so long, then call;
 *                  nothing more is asked for. Not reserved: the start would be later than max_wait_ms; nothing was taken,
 *                  and wait_ms - max_wait_ms is the soonest that asking again is worth it (with jitter).
 * After it, whatever became of it, once for each reservation (a retry takes and settles anew):
 *   permits_settle what was used takes the estimate's place; called = false gives all of it back (the job was cancelled
 *                  while it was parked, its claim was lost, nobody was there to be asked). It tells how long the line is
 *                  now (permits_line_ms), so that those who are parked for a later start can have an earlier one. One of a call
 *                  that used what was reserved, 0 of 0, changes nothing and may be made at any time, to look.
 *
 * max_wait_ms is the time that the job can spare, not 0. Starts are given in the order of asking (what is given
 * back goes to whoever asks next). One that costs more than a burst starts when nothing else is left to be used: in a
 * stream of small ones that never lets up, that is never near enough for the same max_wait_ms, so give it burst_ms more.
 *
 * What holds: of the calls that start in any stretch of time, each limit sees at most its burst (or the last call, if
 * that alone is more), the rate times the stretch, and what was given back by then, because it may be used at once.
 * What doesn't: estimates are guesses until they are settled; a failover of Redis forgets what its replica didn't know; a
 * clock of Redis that is set back makes all wait for as long. A reservation that nobody settles passes as time does.
 *
 * Each call runs n operations in one pipeline on one connection and blocks up to the connection's time-out; each
 * operation has its own answer or error (permanent: a key of ours holds something else; then nothing was reserved).
 * STATUS_FAILED with *err (unavailable): the connection is broken and marked so, no operation is reserved as far as the
 * caller knows. A take may be repeated: what a lost one had reserved passes. A settle may not: it would count twice.
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
    int64_t burst_ms; /* how much time's worth may be used at once (6000: a tenth of a minute's); at least one request */
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
    enum permit_limit waits_for; /* which limit asks for the longer wait */
    int64_t redis_us; /* Redis' clock at the take: Unix time in µs */
};

struct permit_settle_op {
    const char *provider;
    const struct permit_limits *limits;
    int64_t tokens_reserved; /* what take was asked for */
    int64_t tokens_used;     /* COST_TOKENS_UNKNOWN: the estimate stays */
    bool called;             /* false: no call was made, request and tokens are given back */
    /* Out. */
    struct error error;
    int64_t redis_us;
    int64_t requests_until_us, tokens_until_us; /* when all that was taken will have been used, as Redis' clock goes; 0: nothing is */
};

/* From the settle on, in ms: when all that was taken of both limits, for whatever start, fits into their bursts. From then on each
 * reserved start may be made, however late it was to be: what was given back has drawn the line together. Pure. */
int64_t permits_line_ms(const struct permit_settle_op *op);

enum status permits_take(struct redis_conn *conn, const char *key_prefix, struct permit_op *ops, size_t n,
                         struct error *err) MUST_CHECK;
enum status permits_settle(struct redis_conn *conn, const char *key_prefix, struct permit_settle_op *ops, size_t n,
                           struct error *err) MUST_CHECK;

#endif
