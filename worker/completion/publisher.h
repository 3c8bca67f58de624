/* Publishes what jobs end with, replies and dead letters, and sees to it that an offset is done only when they are
 * there. One interface, two implementations, chosen by worker.delivery:
 *
 *   at-least-once  publisher_plain.c  the completion thread produces and serves the acknowledgements; an acknowledged
 *                                     end marks its offset done; the intake commits offsets
 *   exactly-once   publisher_txn.c    a thread of its own puts records and offsets into transactions; the intake
 *                                     commits nothing
 *
 * Delivery reports are never served by the thread of the rebalance callback. */
#ifndef CHAT_COMPLETION_PUBLISHER_H
#define CHAT_COMPLETION_PUBLISHER_H

#include <librdkafka/rdkafka.h>

#include "task/service.h"
#include "task/task.h"

#define FEW_JOBS 64 /* with no more alive, nobody gains from waiting for company */

struct publisher;

/* Blocks until Kafka answers, for exactly-once at most worker.startup_wait_ms and some seconds; give_up (NULL: never) is
 * asked meanwhile. */
enum status publisher_create(const struct service *service, const char *bootstrap, bool (*give_up)(void), struct publisher **ret,
                             struct error *err) MUST_CHECK;
/* Within some seconds, whatever Kafka does; what hasn't ended by then is left to the process's end, which must be next. NULL is fine. */
void publisher_destroy(struct publisher *publisher);

/* ---- completion thread; each returns by its timeout_ms ---- */

/* Publishes what task owes (end_owe), in this order for the jobs of a lane; the offset is done once all
 * of it is there. Keeps references of its own. What Kafka refuses is replaced or tried again, inside, and what its client has no room
 * for waits here: blocks on nothing. */
void publisher_put(struct publisher *publisher, struct task *task);
/* After a batch of puts, and now and then: carries on, for up to timeout_ms. */
void publisher_poll(struct publisher *publisher, int timeout_ms);
/* The same, and what is queued is sent without lingering; returns as soon as nothing is pending. */
void publisher_hurry(struct publisher *publisher, int timeout_ms);
/* Ends not yet done. */
int publisher_pending(struct publisher *publisher);
/* Must publisher_poll be called soon, though nothing was put? */
bool publisher_wants_poll(struct publisher *publisher);
/* At the thread's end: drops what is left. Blocks until until_ms at most. False: a thread of its own is in a call that doesn't end; it is left
 * behind with all that it touches (the service), and the process must end without taking that apart. May be called again. */
bool publisher_close(struct publisher *publisher, int64_t until_ms) MUST_CHECK;

/* ---- any thread ---- */

/* The process ends: nothing that is refused is tried again. */
void publisher_end_soon(struct publisher *publisher);
/* Somebody has seen that it can't go on, and why: nothing more is taken, and it has failed. */
void publisher_give_up(struct publisher *publisher, const struct error *why);
/* Why it publishes nothing any more; false: it does. The process should end and be started again. */
bool publisher_failed(struct publisher *publisher, struct error *ret);

/* ---- intake thread, exactly-once only; of the plain one they do nothing ---- */

/* The consumer whose membership fences the transactions; NULL: it is about to go. */
void publisher_follow(struct publisher *publisher, rd_kafka_t *consumer);
/* The partition has something to commit; goes with the next transaction. Takes a reference of its own. */
void publisher_offer(struct publisher *publisher, struct partition *partition);
/* Asks for a commit of all that was put and offered, before partitions are unassigned. Its number, to ask whether it is over: made, or
 * not to be made any more. Blocks never. */
uint64_t publisher_ask_commit(struct publisher *publisher);
bool publisher_commit_is_over(struct publisher *publisher, uint64_t number, bool *ret_made);
/* The same, waiting. False: not made by until_ms. */
bool publisher_commit_now(struct publisher *publisher, int64_t until_ms);
/* Partitions were revoked: what they still have here is dropped. */
void publisher_revoked(struct publisher *publisher);

/* ---- for the implementations ---- */

struct publisher {
    const struct publisher_operations *operations;
};

/* Those of exactly-once may be NULL. */
struct publisher_operations {
    void (*destroy)(struct publisher *publisher);
    void (*put)(struct publisher *publisher, struct task *task);
    void (*poll)(struct publisher *publisher, int timeout_ms);
    void (*hurry)(struct publisher *publisher, int timeout_ms);
    int (*pending)(struct publisher *publisher);
    bool (*wants_poll)(struct publisher *publisher);
    bool (*close)(struct publisher *publisher, int64_t until_ms);
    void (*end_soon)(struct publisher *publisher);
    void (*give_up)(struct publisher *publisher, const struct error *why);
    bool (*failed)(struct publisher *publisher, struct error *ret);
    void (*follow)(struct publisher *publisher, rd_kafka_t *consumer);
    void (*offer)(struct publisher *publisher, struct partition *partition);
    uint64_t (*ask_commit)(struct publisher *publisher);
    bool (*commit_is_over)(struct publisher *publisher, uint64_t number, bool *ret_made);
    bool (*commit_now)(struct publisher *publisher, int64_t until_ms);
    void (*revoked)(struct publisher *publisher);
};

enum status publisher_plain_create(const struct service *service, const char *bootstrap, struct publisher **ret, struct error *err) MUST_CHECK;
enum status publisher_txn_create(const struct service *service, const char *bootstrap, bool (*give_up)(void), struct publisher **ret,
                                 struct error *err) MUST_CHECK;

#endif
