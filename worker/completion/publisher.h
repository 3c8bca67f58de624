/* Publishes replies and dead letters, and marks an offset done only when they are
 * acknowledged. One interface, two implementations, chosen by worker.delivery:
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

#define PREPARE_MS 5000 /* for each of two topics, at the start */

struct publisher;

/* Blocks until Kafka answers, for exactly-once at most worker.startup_wait_ms and some seconds; give_up (NULL: never) is
 * called meanwhile; true ends the wait. */
enum status publisher_create(const struct service *service, const char *bootstrap, bool (*give_up)(void), struct publisher **ret,
                             struct error *err) MUST_CHECK;
/* Returns within some seconds, whatever Kafka does; parts that haven't ended by then aren't freed, and the process must end next. NULL is fine. */
void publisher_destroy(struct publisher *publisher);

/* ---- completion thread; each returns by its timeout_ms ---- */

/* Publishes the task's records (end_owe), the jobs of a lane in the order of put; the offset is done once all
 * are acknowledged. Takes references of its own. Records that Kafka refuses are replaced or tried again, inside, and those that its client has no
 * room for wait here: never blocks. */
void publisher_put(struct publisher *publisher, struct task *task);
/* Call after a batch of puts, and periodically: serves reports and sends more, for up to timeout_ms. */
void publisher_poll(struct publisher *publisher, int timeout_ms);
/* As publisher_poll, but sends queued records without lingering; returns as soon as nothing is pending. */
void publisher_hurry(struct publisher *publisher, int timeout_ms);
/* Ends not yet done. */
int publisher_pending(struct publisher *publisher);
/* Must publisher_poll be called soon, though nothing was put? */
bool publisher_wants_poll(struct publisher *publisher);
/* At the thread's end: drops the remaining ends. Blocks until until_ms at most. False: a thread of its own is in a call that doesn't return; it is left
 * running with all that it uses (the service), and the process must end without freeing that. May be called again. */
bool publisher_close(struct publisher *publisher, int64_t until_ms) MUST_CHECK;

/* ---- any thread ---- */

/* The process ends: refused records aren't tried again. */
void publisher_end_soon(struct publisher *publisher);
/* Makes the publisher fail with *why, as it was found to be stuck: it accepts no more ends. */
void publisher_give_up(struct publisher *publisher, const struct error *why);
/* True: it has failed and publishes nothing more; *ret is the reason. The process should end and be started again. */
bool publisher_failed(struct publisher *publisher, struct error *ret);

/* ---- intake thread, exactly-once only; with at-least-once they do nothing ---- */

/* The consumer whose membership fences the transactions; NULL: before it is destroyed. */
void publisher_follow(struct publisher *publisher, rd_kafka_t *consumer);
/* The partition has an offset to commit, which the next transaction contains. Takes a reference of its own. */
void publisher_offer(struct publisher *publisher, struct partition *partition);
/* Requests a commit of all that was put and offered, before partitions are revoked. Returns its number for publisher_commit_is_over: made, or
 * never to be made. Never blocks. */
uint64_t publisher_ask_commit(struct publisher *publisher);
bool publisher_commit_is_over(struct publisher *publisher, uint64_t number, bool *ret_made);
/* publisher_ask_commit, and waits for it. False: not made by until_ms. */
bool publisher_commit_now(struct publisher *publisher, int64_t until_ms);
/* Partitions were revoked: their remaining ends are dropped. */
void publisher_revoked(struct publisher *publisher);

/* ---- for the implementations ---- */

struct publisher {
    const struct publisher_operations *operations;
};

/* The exactly-once-only functions may be NULL. */
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
