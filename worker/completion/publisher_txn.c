/* Exactly-once: the ends of many jobs, and the offsets they complete, in one Kafka transaction at a time.
 *
 *   completion ─put─▶ incoming ─▶ txn_commits: in the order of put, until a commit that holds them has succeeded
 *       intake ─offer─▶ offered ─▶
 *
 * A thread of its own, chat-txn, makes all calls of the transactional producer (txn_commits.h): a commit takes some round
 * trips (and, while a broker is away, as long as it is), during which the completion thread goes on writing ends to Redis, lanes
 * go on, and the next transaction's ends gather. The intake's rebalance callback waits for this thread with a bound, which it couldn't
 * if it made the calls itself. This file is what chat-txn and the other threads share, under one lock.
 *
 * No thread waits for chat-txn without a bound, since its calls may not return (transaction.h): at the close it is left running. Its
 * transaction is then aborted by the broker's time-out, and the partitions' next owner publishes the ends from Redis. */
#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "completion/publisher.h"
#include "completion/txn_commits.h"
#include "telemetry/watchdog.h"

#define LAST_CALL_MS 1500 /* of the time to close: how much its last call may exceed its time-out */

struct publisher_txn {
    struct publisher base;
    struct txn_commits *commits; /* the thread's */
    pthread_t thread;
    bool started;

    struct mutex lock;   /* guards the members below */
    struct cond wake;    /* the thread has something to do */
    struct cond settled; /* a commit was made, or ends or the thread have ended, or the publisher has failed */
    struct task_list incoming; /* holds references */
    struct partitions offered;
    size_t pending; /* ends in incoming and in commits */
    uint64_t commits_wanted, commits_made;
    bool poked, ending, closing, ended, left;
    int64_t close_ms; /* clock_mono_ms: it repeats no call from then on */
    struct error failure;
};

/* ---- the thread ---- */

static bool time_is_up(void *arg)
{
    struct publisher_txn *p = arg;
    mutex_lock(&p->lock);
    bool up = p->closing && clock_mono_ms() >= p->close_ms;
    mutex_unlock(&p->lock);
    return up;
}

static void fail_locked(struct publisher_txn *p, const struct error *why, const char *cause)
{
    log_error("transactions_failed", F_STR("code", why->code), F_STR("error", why->message));
    error_set(&p->failure, ERROR_RETRIABLE, why->code, "exactly-once has ended for this process (%s: %.110s): %s; start it again, nothing is lost", why->code,
              why->message, cause);
}

/* Waits for something to do, and takes new ends and offers. False: the thread ends. *ret_wanted: the number of commits requested until now. */
static bool look(struct publisher_txn *p, uint64_t *ret_wanted)
{
    int64_t until = txn_commits_next_ms(p->commits);
    int64_t not_before = txn_commits_not_before_ms(p->commits);
    mutex_lock(&p->lock);
    while (!p->poked && !p->closing && p->failure.class == ERROR_NONE && (p->commits_wanted == p->commits_made || clock_mono_ms() < not_before)) {
        int64_t next = p->commits_wanted != p->commits_made && (until < 0 || not_before < until) ? not_before : until;
        watchdog_rest(WATCHED_TRANSACTIONS);
        if (next < 0)
            cond_wait(&p->wake, &p->lock);
        else if (!cond_wait_until(&p->wake, &p->lock, next))
            break;
    }
    watchdog_feed(WATCHED_TRANSACTIONS);
    p->poked = false;
    txn_commits_take(p->commits, &p->incoming, &p->offered);
    *ret_wanted = p->commits_wanted;
    bool go_on = !p->closing && p->failure.class == ERROR_NONE;
    mutex_unlock(&p->lock);
    return go_on;
}

static bool is_wanted(struct publisher_txn *p, uint64_t wanted)
{
    mutex_lock(&p->lock);
    bool yes = wanted != p->commits_made;
    mutex_unlock(&p->lock);
    return yes;
}

static void poke_locked(struct publisher_txn *p)
{
    if (p->poked)
        return;
    p->poked = true;
    cond_signal(&p->wake);
}

static void take_round(struct publisher_txn *p, const struct txn_round *round, uint64_t wanted)
{
    mutex_lock(&p->lock);
    p->pending -= round->gone;
    if (round->failure.class != ERROR_NONE)
        fail_locked(p, &round->failure, "it was fenced or was too slow for transaction.timeout.ms");
    if (round->again)
        poke_locked(p);
    if (round->made)
        p->commits_made = wanted;
    cond_broadcast(&p->settled);
    mutex_unlock(&p->lock);
}

static void end_rounds(struct publisher_txn *p)
{
    mutex_lock(&p->lock);
    txn_commits_take(p->commits, &p->incoming, &p->offered);
    bool failed = p->failure.class != ERROR_NONE;
    mutex_unlock(&p->lock);
    struct txn_round last = {.gone = txn_commits_end(p->commits, failed)};
    take_round(p, &last, 0);
    mutex_lock(&p->lock);
    p->ended = true;
    cond_broadcast(&p->settled);
    mutex_unlock(&p->lock);
}

static void *txn_main(void *arg)
{
    struct publisher_txn *p = arg;
    uint64_t wanted;
    pthread_setname_np(pthread_self(), "chat-txn");
    while (look(p, &wanted)) {
        struct txn_round round = txn_commits_run(p->commits, is_wanted(p, wanted));
        take_round(p, &round, wanted);
    }
    watchdog_rest(WATCHED_TRANSACTIONS);
    end_rounds(p);
    return NULL;
}

/* ---- the interface ---- */

/* Doesn't wake the thread: the poll after the batch does, once. */
static void txn_put(struct publisher *publisher, struct task *task)
{
    struct publisher_txn *p = (struct publisher_txn *)publisher;
    mutex_lock(&p->lock);
    if (p->failure.class == ERROR_NONE && !p->closing) {
        task_list_push(&p->incoming, task_ref(task));
        p->pending++;
    }
    mutex_unlock(&p->lock);
}

static void wake_and_wait(struct publisher_txn *p, bool until_settled, int timeout_ms)
{
    int64_t until = clock_mono_ms() + timeout_ms;
    mutex_lock(&p->lock);
    if (p->incoming.count > 0)
        poke_locked(p);
    while ((!until_settled || p->pending > 0) && timeout_ms > 0 && cond_wait_until(&p->settled, &p->lock, until))
        ;
    mutex_unlock(&p->lock);
}

static void txn_poll(struct publisher *publisher, int timeout_ms)
{
    wake_and_wait((struct publisher_txn *)publisher, false, timeout_ms);
}

/* The thread commits early by itself; only at shutdown there is something to wait for. */
static void txn_hurry(struct publisher *publisher, int timeout_ms)
{
    struct publisher_txn *p = (struct publisher_txn *)publisher;
    mutex_lock(&p->lock);
    bool ending = p->ending;
    mutex_unlock(&p->lock);
    wake_and_wait(p, true, ending ? timeout_ms : 0);
}

static int txn_pending(struct publisher *publisher)
{
    struct publisher_txn *p = (struct publisher_txn *)publisher;
    mutex_lock(&p->lock);
    int pending = (int)p->pending;
    mutex_unlock(&p->lock);
    return pending;
}

static bool txn_wants_poll(struct publisher *publisher)
{
    (void)publisher;
    return false;
}

static bool txn_close(struct publisher *publisher, int64_t until_ms)
{
    struct publisher_txn *p = (struct publisher_txn *)publisher;
    if (!p->started)
        return true;
    mutex_lock(&p->lock);
    p->closing = true;
    p->close_ms = until_ms - LAST_CALL_MS;
    cond_signal(&p->wake);
    while (!p->ended && cond_wait_until(&p->settled, &p->lock, until_ms))
        ;
    bool ended = p->ended, said = p->left;
    size_t pending = p->pending;
    p->left = !ended;
    mutex_unlock(&p->lock);
    if (!ended && !said)
        log_warn("transactions_thread_left", F_INT("jobs", pending),
                 F_STR("error", "a coordinator or broker doesn't answer: the transactions' thread can't be ended, and the process ends without it"),
                 F_STR("hint", "nothing is lost: the broker aborts the transaction, and who gets the partitions publishes its replies from the store"));
    if (!ended)
        return false;
    pthread_join(p->thread, NULL);
    p->started = false;
    return true;
}

static void txn_end_soon(struct publisher *publisher)
{
    struct publisher_txn *p = (struct publisher_txn *)publisher;
    mutex_lock(&p->lock);
    p->ending = true;
    mutex_unlock(&p->lock);
}

/* Sets the failure for the thread, which is stuck in a call. */
static void txn_give_up(struct publisher *publisher, const struct error *why)
{
    struct publisher_txn *p = (struct publisher_txn *)publisher;
    mutex_lock(&p->lock);
    if (p->failure.class == ERROR_NONE)
        fail_locked(p, why, "only a new process gets out of that");
    cond_broadcast(&p->settled);
    mutex_unlock(&p->lock);
}

static bool txn_failed(struct publisher *publisher, struct error *ret)
{
    struct publisher_txn *p = (struct publisher_txn *)publisher;
    mutex_lock(&p->lock);
    bool failed = p->failure.class != ERROR_NONE;
    if (failed)
        *ret = p->failure;
    mutex_unlock(&p->lock);
    return failed;
}

static void txn_follow(struct publisher *publisher, rd_kafka_t *consumer)
{
    txn_commits_follow(((struct publisher_txn *)publisher)->commits, consumer);
}

static void txn_offer(struct publisher *publisher, struct partition *partition)
{
    struct publisher_txn *p = (struct publisher_txn *)publisher;
    mutex_lock(&p->lock);
    if (p->failure.class == ERROR_NONE && !p->closing) {
        partitions_add(&p->offered, partition);
        poke_locked(p);
    }
    mutex_unlock(&p->lock);
}

static uint64_t txn_ask_commit(struct publisher *publisher)
{
    struct publisher_txn *p = (struct publisher_txn *)publisher;
    mutex_lock(&p->lock);
    uint64_t number = ++p->commits_wanted;
    cond_signal(&p->wake);
    mutex_unlock(&p->lock);
    return number;
}

static bool is_over_locked(const struct publisher_txn *p, uint64_t number)
{
    return p->commits_made >= number || p->failure.class != ERROR_NONE;
}

static bool txn_commit_is_over(struct publisher *publisher, uint64_t number, bool *ret_made)
{
    struct publisher_txn *p = (struct publisher_txn *)publisher;
    mutex_lock(&p->lock);
    bool over = is_over_locked(p, number);
    *ret_made = p->commits_made >= number;
    mutex_unlock(&p->lock);
    return over;
}

static bool txn_commit_now(struct publisher *publisher, int64_t until_ms)
{
    struct publisher_txn *p = (struct publisher_txn *)publisher;
    uint64_t number = txn_ask_commit(publisher);
    mutex_lock(&p->lock);
    while (!is_over_locked(p, number) && cond_wait_until(&p->settled, &p->lock, until_ms))
        ;
    bool made = p->commits_made >= number;
    mutex_unlock(&p->lock);
    return made;
}

static void txn_revoked(struct publisher *publisher)
{
    struct publisher_txn *p = (struct publisher_txn *)publisher;
    mutex_lock(&p->lock);
    poke_locked(p);
    mutex_unlock(&p->lock);
}

/* If its thread or its client was left running, nothing is freed. */
static void txn_destroy(struct publisher *publisher)
{
    struct publisher_txn *p = (struct publisher_txn *)publisher;
    if (!txn_close(publisher, clock_mono_ms() + LAST_CALL_MS) || !txn_commits_destroy(p->commits))
        return;
    cond_destroy(&p->wake);
    cond_destroy(&p->settled);
    mutex_destroy(&p->lock);
    partitions_finish(&p->offered);
    free(p);
}

static const struct publisher_operations operations = {
    .destroy = txn_destroy, .put = txn_put, .poll = txn_poll, .hurry = txn_hurry, .pending = txn_pending, .wants_poll = txn_wants_poll,
    .close = txn_close, .end_soon = txn_end_soon, .give_up = txn_give_up, .failed = txn_failed, .follow = txn_follow, .offer = txn_offer, .ask_commit = txn_ask_commit,
    .commit_is_over = txn_commit_is_over, .commit_now = txn_commit_now,
    .revoked = txn_revoked};

/* ---- the start ---- */

enum status publisher_txn_create(const struct service *service, const char *bootstrap, bool (*give_up)(void), struct publisher **ret, struct error *err)
{
    const struct settings *settings = service->settings;
    const char *instance = settings->kafka.group_instance_id;
    AUTO_FREE char *id = xasprintf("%s.%s", settings->kafka.group_id, instance ? instance : service->store.self.id);
    struct publisher_txn *p = xcalloc(1, sizeof *p);
    p->base.operations = &operations;
    mutex_init(&p->lock);
    cond_init(&p->wake);
    cond_init(&p->settled);
    if (txn_commits_create(service, bootstrap, id, time_is_up, p, give_up, &p->commits, err) != STATUS_OK)
        goto failed;
    p->started = pthread_create(&p->thread, NULL, txn_main, p) == 0;
    if (!p->started) {
        (void)error_set(err, ERROR_FATAL, "thread_start", "transactions thread: can't be started; check the limit on processes");
        goto failed;
    }
    log_info("transactions_ready", F_STR("transactional_id", id));
    *ret = &p->base;
    return STATUS_OK;
failed:
    txn_destroy(&p->base);
    return STATUS_FAILED;
}
