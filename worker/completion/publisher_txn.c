/* Exactly-once: the ends of many jobs, and the offsets they complete, in one Kafka transaction at a time.
 *
 *   completion ─put─▶ incoming ─▶ kept: ends in the order of put, until a commit that holds them has succeeded
 *                                   │ admitted in that order into the open transaction (opened by the first)
 *                                   ▼
 *        produce … ─▶ membership ─▶ are all grants still ours? ─▶ send offsets ─▶ commit ─▶ merge into the trackers
 *                                   └── abortable error: abort, back off, all of it again in the same order
 *
 * A thread of its own, chat-txn, makes all calls of the transactional producer: a commit takes some round trips (and all
 * the time there is while a broker is away), during which the completion thread goes on telling Redis, lanes go on, and
 * the next transaction's ends gather. The intake's rebalance callback waits for it with a bound and can't wait for itself.
 *
 * Why a result of a revoked partition can't set the new owner back. The group's metadata (member and generation) is taken
 * first, then each grant in the transaction is looked at: one that isn't revoked then was ours when the metadata was
 * taken. Whatever moves the partition later makes another generation, of which the broker refuses our offsets
 * (KIP-447); and once it has taken them, the new owner's read of committed offsets waits for our end. Taken when the
 * transaction begins, the metadata would be refused after every rebalance that leaves our partitions in place, and in
 * every cooperative revoke, since the callback comes when we are in the next generation already.
 *
 * Its parts: transaction.h makes the calls, kept_ends.h decides what may enter and what is committed, this file says when. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "completion/kept_ends.h"
#include "completion/publisher.h"
#include "completion/record_producer.h"
#include "completion/transaction.h"
#include "dispatch/weather.h"
#include "ops/metrics.h"

#define CLOSE_MS 2000
#define ASIDE_MS 1000 /* until an end that Kafka refuses in every form is tried again, and for each other such one so much more: */
#define ASIDE_EACH_MS 100 /* each costs an aborted transaction, and most of the time is the others' */
#define BACKOFF_MS_MIN 20
#define BACKOFF_MS_MAX 2000
#define FORMS_MAX 4   /* as it is, replaced, without the letter's value, and one to be safe */

struct publisher_txn {
    struct publisher base;
    const struct service *service;
    struct record_producer *producer;
    struct transaction transaction;
    pthread_t thread;
    bool started;

    struct mutex lock;   /* guards what follows, up to the next blank line */
    struct cond wake;    /* the thread has something to do */
    struct cond settled; /* a commit was made, or something has ended, or all has failed */
    struct kept_ends incoming;
    struct partitions offered;
    size_t pending; /* incoming and kept */
    uint64_t commits_wanted, commits_made;
    bool poked, ending, closing;
    int64_t close_ms;
    struct error failure;

    /* The thread's own. */
    struct kept_ends kept;
    struct partitions offers;
    uint64_t wanted; /* commits_wanted, as of the last look */
    size_t inside;   /* how many kept ones are in the transaction */
    bool sealed;     /* one of them is `alone` */
    bool put_aside;  /* in this round: what failed is out of the way */
    int failures;    /* in a row: the backoff's exponent */
    int64_t not_before_ms;
    struct error refusal; /* of the last record that was refused */
};

static bool is_revoked(const struct partition *partition)
{
    return atomic_load(&partition->revoked);
}

static void settle(struct publisher_txn *p, size_t gone)
{
    mutex_lock(&p->lock);
    p->pending -= gone;
    cond_broadcast(&p->settled);
    mutex_unlock(&p->lock);
}

static void fail(struct publisher_txn *p, const struct error *why)
{
    log_error("transactions_failed", F_STR("code", why->code), F_STR("error", why->message));
    mutex_lock(&p->lock);
    error_set(&p->failure, ERROR_RETRIABLE, why->code,
              "exactly-once has ended for this process (%s: %.110s): it was fenced or was too slow for transaction.timeout.ms; start it again, nothing is lost",
              why->code, why->message);
    cond_broadcast(&p->settled);
    mutex_unlock(&p->lock);
}

static bool has_failed(struct publisher_txn *p)
{
    mutex_lock(&p->lock);
    bool failed = p->failure.class != ERROR_NONE;
    mutex_unlock(&p->lock);
    return failed;
}

static bool time_is_up(void *arg)
{
    struct publisher_txn *p = arg;
    mutex_lock(&p->lock);
    bool up = p->closing && clock_mono_ms() >= p->close_ms;
    mutex_unlock(&p->lock);
    return up;
}

/* ---- ending a transaction without effect ---- */

static void back_off(struct publisher_txn *p)
{
    int shift = p->failures < 7 ? p->failures : 7;
    int64_t wait_ms = (int64_t)BACKOFF_MS_MIN << shift;
    p->failures++;
    p->not_before_ms = clock_mono_ms() + (wait_ms < BACKOFF_MS_MAX ? wait_ms : BACKOFF_MS_MAX);
}

/* It has no other form. */
static void put_aside(struct publisher_txn *p, struct kept *kept, bool is_dead_letter, const struct error *why)
{
    int64_t others = 0;
    for (size_t i = 0; i < p->kept.count; i++)
        others += p->kept.items[i].not_before_ms > 0;
    kept->not_before_ms = clock_mono_ms() + ASIDE_MS + others * ASIDE_EACH_MS;
    p->put_aside = true;
    if (is_dead_letter)
        (void)weather_failed(p->service->weather, WEATHER_DEAD_TOPIC, kept->task, why);
}

/* A record that was refused in company is tried alone, so that of a batch that is too large only the culprit is
 * replaced; refused alone, it gets another form, or waits aside. */
static void take_refusals(struct publisher_txn *p)
{
    for (size_t i = 0; i < p->kept.count; i++) {
        struct kept *kept = &p->kept.items[i];
        if (!kept->refused_reply && !kept->refused_letter)
            continue;
        if (kept->alone && !publisher_replace_refused(kept->task, !kept->refused_reply, &p->refusal))
            put_aside(p, kept, !kept->refused_reply, &p->refusal);
        kept->alone = true;
        kept->refused_reply = kept->refused_letter = false;
    }
}

/* What it held is to be done again, or is gone. */
static enum answer abort_open(struct publisher_txn *p, const struct error *why)
{
    struct error worse;
    bool was_open = p->transaction.open;
    if (transaction_abort(&p->transaction, &worse) == ANSWER_END) {
        if (worse.class == ERROR_FATAL)
            fail(p, &worse);
        return ANSWER_END;
    }
    if (was_open) {
        METRIC_INC(transactions_aborted_total);
        log_warn("transaction_aborted", F_INT("jobs", p->inside), F_STR("code", why->code), F_STR("error", why->message),
                 F_INT("duration_ms", clock_mono_ms() - p->transaction.opened_ms));
    }
    for (size_t i = 0; i < p->kept.count; i++)
        p->kept.items[i].inside = false;
    p->inside = 0;
    p->sealed = false;
    take_refusals(p);
    return ANSWER_OK;
}

static bool is_of_the_revoked(const struct kept *kept)
{
    return is_revoked(kept->task->partition);
}

static size_t letters_aside(const struct publisher_txn *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->kept.count; i++)
        n += p->kept.items[i].not_before_ms > 0 && p->kept.items[i].task->dead_letter_owed;
    return n;
}

/* Ends of partitions that went: their new owner answers from the store. With the last letter that the topic refused
 * nobody would try it again, and its breaker would hold the intake for ever: it is another's trouble now. */
static enum answer drop_revoked(struct publisher_txn *p)
{
    size_t inside = 0;
    for (size_t i = 0; i < p->kept.count; i++)
        inside += p->kept.items[i].inside && is_of_the_revoked(&p->kept.items[i]);
    if (inside > 0) {
        struct error why;
        error_set(&why, ERROR_CANCELLED, "revoked", "%zu of its jobs are of partitions that went to another worker", inside);
        if (abort_open(p, &why) != ANSWER_OK)
            return ANSWER_END;
    }
    size_t aside = letters_aside(p);
    size_t gone = kept_ends_remove(&p->kept, is_of_the_revoked);
    if (aside > 0 && letters_aside(p) == 0)
        weather_succeeded(p->service->weather, WEATHER_DEAD_TOPIC);
    if (gone > 0)
        settle(p, gone);
    return ANSWER_OK;
}

/* ---- filling ---- */

/* What the client refuses at once (its message.max.bytes) never enters: it gets another form. ABORT: a part of it has
 * entered, and another can't. */
static enum answer produce(struct publisher_txn *p, struct kept *kept, struct error *why)
{
    struct task *task = kept->task;
    bool reply_in = false, letter_in = !task->dead_letter_owed;
    for (int form = 0; form < FORMS_MAX && !(reply_in && letter_in); form++) {
        bool letter = reply_in;
        enum status status = letter ? record_producer_dead_letter(p->producer, task, task->value_omitted, why)
                                    : record_producer_reply(p->producer, task, task->reply, why);
        if (status == STATUS_OK) {
            *(letter ? &letter_in : &reply_in) = true;
        } else if (why->class != ERROR_PERMANENT) {
            return ANSWER_ABORT; /* the transaction has failed already */
        } else if (!publisher_replace_refused(task, letter, why)) {
            put_aside(p, kept, letter, why);
            return reply_in ? ANSWER_ABORT : ANSWER_OK;
        } else {
            letter_in = !task->dead_letter_owed;
        }
    }
    kept->inside = true;
    p->inside++;
    p->sealed = kept->alone;
    return ANSWER_OK;
}

static bool have_offers(struct publisher_txn *p)
{
    size_t left = 0;
    for (size_t i = 0; i < p->offers.count; i++) {
        struct partition *partition = p->offers.items[i];
        if (is_revoked(partition) || !partition_has_news(partition))
            partition_unref(partition);
        else
            p->offers.items[left++] = partition;
    }
    p->offers.count = left;
    return left > 0;
}

static size_t room(const struct publisher_txn *p)
{
    size_t most = (size_t)p->service->settings->worker.transaction_jobs_max;
    return p->sealed || p->inside >= most ? 0 : most - p->inside;
}

static enum answer fill(struct publisher_txn *p, struct error *why)
{
    enum answer answer = ANSWER_OK;
    kept_ends_admit(&p->kept, room(p), p->sealed, clock_mono_ms());
    for (size_t i = 0; i < p->kept.count && answer == ANSWER_OK; i++) {
        if (!p->kept.items[i].admitted)
            continue;
        answer = transaction_begin(&p->transaction, why);
        if (answer == ANSWER_OK)
            answer = produce(p, &p->kept.items[i], why);
    }
    if (answer == ANSWER_OK && !p->transaction.open && have_offers(p))
        answer = transaction_begin(&p->transaction, why);
    return answer;
}

/* ---- committing ---- */

static rd_kafka_topic_partition_list_t *to_kafka(const struct shares *shares)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)shares->count);
    for (size_t i = 0; i < shares->count; i++) {
        const struct share *share = &shares->items[i];
        rd_kafka_topic_partition_t *item = rd_kafka_topic_partition_list_add(list, share->partition->topic, share->partition->id);
        item->offset = share->offset;
        item->metadata = xstrdup(share->metadata); /* the list's to free */
        item->metadata_size = strlen(share->metadata);
    }
    return list;
}

static bool any_revoked(const struct shares *shares)
{
    for (size_t i = 0; i < shares->count; i++)
        if (is_revoked(shares->items[i].partition))
            return true;
    return false;
}

static enum answer send_offsets(struct publisher_txn *p, struct shares *shares, struct error *why)
{
    enum answer answer = ANSWER_ABORT;
    rd_kafka_consumer_group_metadata_t *membership = transaction_membership(&p->transaction);
    if (membership == NULL) {
        error_set(why, ERROR_RETRIABLE, "no_member", "this worker is in no group now");
        return ANSWER_ABORT;
    }
    if (any_revoked(shares)) { /* looked at after the membership was taken: see above */
        error_set(why, ERROR_CANCELLED, "revoked", "a partition went to another worker");
    } else {
        rd_kafka_topic_partition_list_t *list = to_kafka(shares);
        answer = transaction_send_offsets(&p->transaction, list, membership, why);
        rd_kafka_topic_partition_list_destroy(list);
    }
    rd_kafka_consumer_group_metadata_destroy(membership);
    if (answer == ANSWER_ABORT && strcmp(why->code, rd_kafka_err2name(RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE)) == 0)
        shares_metadata_refused(shares);
    return answer;
}

static bool is_inside(const struct kept *kept)
{
    return kept->inside;
}

/* Only now the ends are done. */
static void merge(struct publisher_txn *p, const struct shares *shares)
{
    METRIC_INC(transactions_committed_total);
    METRIC_ADD(commits_total, (int64_t)shares->count);
    log_debug("transaction_committed", F_INT("jobs", p->inside), F_INT("partitions", shares->count),
              F_INT("duration_ms", clock_mono_ms() - p->transaction.opened_ms));
    for (size_t i = 0; i < p->kept.count; i++)
        if (p->kept.items[i].inside && p->kept.items[i].task->dead_letter_owed)
            weather_succeeded(p->service->weather, WEATHER_DEAD_TOPIC);
    for (size_t i = 0; i < shares->count; i++)
        partition_committed_with(shares->items[i].partition, shares->items[i].offset, shares->items[i].with, shares->items[i].n);
    partitions_clear(&p->offers);
    p->inside = 0;
    p->sealed = false;
    p->failures = 0;
    settle(p, kept_ends_remove(&p->kept, is_inside));
}

static enum answer commit(struct publisher_txn *p, struct error *why)
{
    struct shares shares;
    enum answer answer = ANSWER_OK;
    if (!shares_make(&p->kept, &p->offers, &shares)) {
        error_set(why, ERROR_RETRIABLE, "completed_set_full", "what is done out of order doesn't fit into a commit; fewer ends go at once");
        answer = ANSWER_ABORT;
    }
    if (answer == ANSWER_OK && shares.count > 0)
        answer = send_offsets(p, &shares, why);
    if (answer == ANSWER_OK)
        answer = transaction_commit(&p->transaction, why);
    if (answer == ANSWER_OK)
        merge(p, &shares);
    else
        METRIC_ADD(commit_failures_total, (int64_t)shares.count);
    shares_finish(&shares);
    return answer;
}

/* ---- the thread ---- */

/* Few others are about: nobody to wait for. Else by number and time. */
static bool is_due(const struct publisher_txn *p, uint64_t made)
{
    return p->wanted != made || room(p) == 0 || metric_get(METRIC_jobs_alive) - (int64_t)p->kept.count <= FEW_JOBS ||
           clock_mono_ms() >= p->transaction.opened_ms + p->service->settings->worker.transaction_ms;
}

/* When there is something to do even if nothing comes: clock_mono_ms; -1: never. */
static int64_t next_look_ms(const struct publisher_txn *p)
{
    if (p->transaction.open)
        return p->transaction.opened_ms + p->service->settings->worker.transaction_ms;
    if (p->kept.count == 0 && p->offers.count == 0)
        return -1;
    int64_t soonest = INT64_MAX;
    for (size_t i = 0; i < p->kept.count; i++)
        if (p->kept.items[i].not_before_ms < soonest)
            soonest = p->kept.items[i].not_before_ms;
    if (p->kept.count == 0 || p->not_before_ms > soonest)
        soonest = p->not_before_ms;
    return soonest > clock_mono_ms() ? soonest : clock_mono_ms() + BACKOFF_MS_MAX; /* the latter: held back by a full set */
}

static void take_incoming_locked(struct publisher_txn *p)
{
    for (size_t i = 0; i < p->incoming.count; i++)
        kept_ends_add(&p->kept, p->incoming.items[i]);
    p->incoming.count = 0;
}

/* Waits for something to do, and takes what came. False: the thread ends. */
static bool look(struct publisher_txn *p)
{
    int64_t until = next_look_ms(p);
    mutex_lock(&p->lock);
    while (!p->poked && !p->closing && (p->commits_wanted == p->commits_made || clock_mono_ms() < p->not_before_ms)) {
        int64_t next = p->commits_wanted != p->commits_made && (until < 0 || p->not_before_ms < until) ? p->not_before_ms : until;
        if (next < 0)
            cond_wait(&p->wake, &p->lock);
        else if (!cond_wait_until(&p->wake, &p->lock, next))
            break;
    }
    p->poked = false;
    take_incoming_locked(p);
    for (size_t i = 0; i < p->offered.count; i++)
        partitions_add(&p->offers, p->offered.items[i]);
    partitions_clear(&p->offered);
    p->wanted = p->commits_wanted;
    bool go_on = !p->closing && p->failure.class == ERROR_NONE;
    mutex_unlock(&p->lock);
    return go_on;
}

static void poke_locked(struct publisher_txn *p)
{
    if (p->poked)
        return;
    p->poked = true;
    cond_signal(&p->wake);
}

static uint64_t commits_made(struct publisher_txn *p)
{
    mutex_lock(&p->lock);
    uint64_t made = p->commits_made;
    mutex_unlock(&p->lock);
    return made;
}

static void note_made(struct publisher_txn *p)
{
    mutex_lock(&p->lock);
    p->commits_made = p->wanted;
    cond_broadcast(&p->settled);
    mutex_unlock(&p->lock);
}

static void poke(struct publisher_txn *p)
{
    mutex_lock(&p->lock);
    poke_locked(p);
    mutex_unlock(&p->lock);
}

/* One round: fill, and commit if it is time. */
static void carry_on(struct publisher_txn *p)
{
    struct error why = {0};
    rd_kafka_poll(record_producer_client(p->producer), 0);
    p->put_aside = false;
    if (drop_revoked(p) != ANSWER_OK || (!p->transaction.open && clock_mono_ms() < p->not_before_ms))
        return;
    enum answer answer = fill(p, &why);
    bool was_full = room(p) == 0;
    if (answer == ANSWER_OK && p->transaction.open && is_due(p, commits_made(p)))
        answer = commit(p, &why);
    if (answer == ANSWER_END && why.class == ERROR_FATAL)
        fail(p, &why);
    if (answer == ANSWER_ABORT && abort_open(p, &why) == ANSWER_OK) {
        if (p->put_aside)
            poke(p);
        else if (strcmp(why.code, "revoked") != 0)
            back_off(p);
    }
    if (answer != ANSWER_OK || p->transaction.open)
        return;
    if (was_full)
        poke(p); /* what didn't fit goes next */
    else
        note_made(p);
}

static bool is_any(const struct kept *kept)
{
    (void)kept;
    return true;
}

static void drop_all(struct publisher_txn *p)
{
    mutex_lock(&p->lock);
    take_incoming_locked(p);
    partitions_clear(&p->offered);
    mutex_unlock(&p->lock);
    partitions_clear(&p->offers);
    settle(p, kept_ends_remove(&p->kept, is_any));
}

static void *txn_main(void *arg)
{
    struct publisher_txn *p = arg;
    pthread_setname_np(pthread_self(), "chat-txn");
    while (look(p) && !has_failed(p))
        carry_on(p);
    if (!has_failed(p)) {
        struct error why;
        error_set(&why, ERROR_CANCELLED, "closing", "the worker ends");
        (void)abort_open(p, &why);
    }
    drop_all(p);
    return NULL;
}

/* In the thread, while the client is polled, flushed or aborts. What fails with its transaction is nobody's fault. */
static void reported(struct task *task, bool is_dead_letter, const struct error *err, void *arg)
{
    struct publisher_txn *p = arg;
    if (err == NULL || err->class != ERROR_PERMANENT)
        return;
    for (size_t i = 0; i < p->kept.count; i++)
        if (p->kept.items[i].task == task)
            *(is_dead_letter ? &p->kept.items[i].refused_letter : &p->kept.items[i].refused_reply) = true;
    p->refusal = *err;
}

/* ---- the interface ---- */

/* Doesn't wake the thread: the poll after the batch does, once. */
static void txn_put(struct publisher *publisher, struct task *task)
{
    struct publisher_txn *p = (struct publisher_txn *)publisher;
    mutex_lock(&p->lock);
    if (p->failure.class == ERROR_NONE && !p->closing) {
        kept_ends_add(&p->incoming, (struct kept){.task = task_ref(task)});
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

/* The thread hurries by itself; only at the end there is something to wait for. */
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

static void txn_close(struct publisher *publisher)
{
    struct publisher_txn *p = (struct publisher_txn *)publisher;
    if (!p->started)
        return;
    mutex_lock(&p->lock);
    p->closing = true;
    p->close_ms = clock_mono_ms() + CLOSE_MS;
    cond_signal(&p->wake);
    mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    p->started = false;
}

static void txn_end_soon(struct publisher *publisher)
{
    struct publisher_txn *p = (struct publisher_txn *)publisher;
    mutex_lock(&p->lock);
    p->ending = true;
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
    transaction_follow(&((struct publisher_txn *)publisher)->transaction, consumer);
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

static bool txn_commit_now(struct publisher *publisher, int64_t until_ms)
{
    struct publisher_txn *p = (struct publisher_txn *)publisher;
    mutex_lock(&p->lock);
    uint64_t wanted = ++p->commits_wanted;
    cond_signal(&p->wake);
    while (p->commits_made < wanted && p->failure.class == ERROR_NONE && cond_wait_until(&p->settled, &p->lock, until_ms))
        ;
    bool made = p->commits_made >= wanted;
    mutex_unlock(&p->lock);
    return made;
}

static void txn_revoked(struct publisher *publisher)
{
    poke((struct publisher_txn *)publisher);
}

static void txn_destroy(struct publisher *publisher)
{
    struct publisher_txn *p = (struct publisher_txn *)publisher;
    txn_close(publisher);
    record_producer_destroy(p->producer);
    cond_destroy(&p->wake);
    cond_destroy(&p->settled);
    mutex_destroy(&p->lock);
    transaction_finish(&p->transaction);
    kept_ends_finish(&p->incoming);
    kept_ends_finish(&p->kept);
    partitions_finish(&p->offered);
    partitions_finish(&p->offers);
    free(p);
}

static const struct publisher_operations operations = {
    .destroy = txn_destroy, .put = txn_put, .poll = txn_poll, .hurry = txn_hurry, .pending = txn_pending, .wants_poll = txn_wants_poll,
    .close = txn_close, .end_soon = txn_end_soon, .failed = txn_failed, .follow = txn_follow, .offer = txn_offer, .commit_now = txn_commit_now,
    .revoked = txn_revoked};

/* ---- the start ---- */

enum status publisher_txn_create(const struct service *service, const char *bootstrap, bool (*give_up)(void), struct publisher **ret, struct error *err)
{
    const struct settings *settings = service->settings;
    const char *instance = settings->kafka.group_instance_id;
    AUTO_FREE char *id = xasprintf("%s.%s", settings->kafka.group_id, instance ? instance : service->store.self.id);
    struct publisher_txn *p = xcalloc(1, sizeof *p);
    p->base.operations = &operations;
    p->service = service;
    mutex_init(&p->lock);
    cond_init(&p->wake);
    cond_init(&p->settled);
    transaction_init(&p->transaction, NULL, time_is_up, p);
    if (record_producer_create(settings, bootstrap, id, reported, p, &p->producer, err) != STATUS_OK)
        goto failed;
    p->transaction.client = record_producer_client(p->producer);
    if (transaction_start(&p->transaction, settings->worker.startup_wait_ms, give_up, err) != STATUS_OK)
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
