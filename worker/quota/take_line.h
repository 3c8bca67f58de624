/* Takes of permits and budgets, for a job's next call, in Redis: those that come while others are under way share one pipeline.
 *
 *   pool thread ─take_line_run─▶┐                                        ┌▶ the thread goes on
 *   event loop  ─take_line_put─▶┴ chat-takes ─▶ budget_take, permits_take ┴▶ done, which wakes the loop
 *
 * A thread of its own, which blocks up to redis.timeout_ms for a connection, and for each of two answers; so no event loop does. In the per-thread
 * form of Redis calls there is no such line: each thread makes its own take. */
#ifndef CHAT_QUOTA_TAKE_LINE_H
#define CHAT_QUOTA_TAKE_LINE_H

#include "quota/budget.h"
#include "quota/permits.h"
#include "task/service.h"

struct take_line;

/* What one call takes: of its tenant's budget, and with that of its provider's rate. */
struct take {
    struct permit_limits limits;
    struct permit_op permit; /* provider NULL: none; its limits are set here */
    struct budget_op budget; /* tenant NULL: none */
    /* Out. FAILED: Redis is away, *error says how; the budget may be reserved all the same. */
    enum status status;
    struct error error;
    /* The line's. */
    void (*done)(struct take *take, void *arg);
    void *arg;
    struct take *next;
};

/* Blocks until it is made: by service->takes, or on this thread where that is NULL. */
void take_line_run(const struct service *service, struct take *take);
/* done is called once, on the line's thread; take is valid until then. Doesn't block. */
void take_line_put(struct take_line *line, struct take *take, void (*done)(struct take *take, void *arg), void *arg);

/* Are there permits or budgets to take, and not by each thread itself? */
bool take_line_is_needed(const struct service *service);
enum status take_line_start(const struct service *service, struct take_line **ret, struct error *err) MUST_CHECK;
/* No take is under way. NULL is fine. */
void take_line_stop(struct take_line *line);

#endif
