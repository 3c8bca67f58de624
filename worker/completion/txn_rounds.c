#include "completion/txn_rounds.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "completion/publisher.h"
#include "completion/record_producer.h"
#include "completion/transaction.h"
#include "dispatch/weather.h"
#include "ops/metrics.h"

#define ASIDE_MS 1000 /* until an end that Kafka refuses in every form is tried again, and for each other such one so much more: */
#define ASIDE_EACH_MS 100 /* each costs an aborted transaction, and most of the time is the others' */
#define BACKOFF_MS_MIN 20
#define BACKOFF_MS_MAX 2000
#define FORMS_MAX 4   /* as it is, replaced, without the letter's value, and one to be safe */

struct txn_rounds {
    const struct service *service;
    struct record_producer *producer;
    struct transaction transaction;
    struct kept_ends kept;
    struct partitions offers;
    struct round round; /* what this round has come to */
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

/* ---- ending a transaction without effect ---- */

static void back_off(struct txn_rounds *r)
{
    int shift = r->failures < 7 ? r->failures : 7;
    int64_t wait_ms = (int64_t)BACKOFF_MS_MIN << shift;
    r->failures++;
    r->not_before_ms = clock_mono_ms() + (wait_ms < BACKOFF_MS_MAX ? wait_ms : BACKOFF_MS_MAX);
}

/* It has no other form. */
static void put_aside(struct txn_rounds *r, struct kept *kept, bool is_dead_letter, const struct error *why)
{
    int64_t others = 0;
    for (size_t i = 0; i < r->kept.count; i++)
        others += r->kept.items[i].not_before_ms > 0;
    kept->not_before_ms = clock_mono_ms() + ASIDE_MS + others * ASIDE_EACH_MS;
    r->put_aside = true;
    if (is_dead_letter)
        (void)weather_failed(r->service->weather, WEATHER_DEAD_TOPIC, kept->task, why);
}

/* A record that was refused in company is tried alone, so that of a batch that is too large only the culprit is
 * replaced; refused alone, it gets another form, or waits aside. */
static void take_refusals(struct txn_rounds *r)
{
    for (size_t i = 0; i < r->kept.count; i++) {
        struct kept *kept = &r->kept.items[i];
        if (!kept->refused_reply && !kept->refused_letter)
            continue;
        if (kept->alone && !publisher_replace_refused(kept->task, !kept->refused_reply, &r->refusal))
            put_aside(r, kept, !kept->refused_reply, &r->refusal);
        kept->alone = true;
        kept->refused_reply = kept->refused_letter = false;
    }
}

/* What it held is to be done again, or is gone. */
static enum answer abort_open(struct txn_rounds *r, const struct error *why)
{
    struct error worse;
    bool was_open = r->transaction.open;
    if (transaction_abort(&r->transaction, &worse) == ANSWER_END) {
        if (worse.class == ERROR_FATAL)
            r->round.failure = worse;
        return ANSWER_END;
    }
    if (was_open) {
        METRIC_INC(transactions_aborted_total);
        log_warn("transaction_aborted", F_INT("jobs", r->inside), F_STR("code", why->code), F_STR("error", why->message),
                 F_INT("duration_ms", clock_mono_ms() - r->transaction.opened_ms));
    }
    for (size_t i = 0; i < r->kept.count; i++)
        r->kept.items[i].inside = false;
    r->inside = 0;
    r->sealed = false;
    take_refusals(r);
    return ANSWER_OK;
}

static bool is_of_the_revoked(const struct kept *kept)
{
    return is_revoked(kept->task->partition);
}

static size_t letters_aside(const struct txn_rounds *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->kept.count; i++)
        n += r->kept.items[i].not_before_ms > 0 && r->kept.items[i].task->dead_letter_owed;
    return n;
}

/* Ends of partitions that went: their new owner answers from the store. With the last letter that the topic refused
 * nobody would try it again, and its breaker would hold the intake for ever: it is another's trouble now. */
static enum answer drop_revoked(struct txn_rounds *r)
{
    size_t inside = 0;
    for (size_t i = 0; i < r->kept.count; i++)
        inside += r->kept.items[i].inside && is_of_the_revoked(&r->kept.items[i]);
    if (inside > 0) {
        struct error why;
        error_set(&why, ERROR_CANCELLED, "revoked", "%zu of its jobs are of partitions that went to another worker", inside);
        if (abort_open(r, &why) != ANSWER_OK)
            return ANSWER_END;
    }
    size_t aside = letters_aside(r);
    size_t gone = kept_ends_remove(&r->kept, is_of_the_revoked);
    if (aside > 0 && letters_aside(r) == 0)
        weather_succeeded(r->service->weather, WEATHER_DEAD_TOPIC);
    r->round.gone += gone;
    return ANSWER_OK;
}

/* ---- filling ---- */

/* What the client refuses at once (its message.max.bytes) never enters: it gets another form. ABORT: a part of it has
 * entered, and another can't. */
static enum answer produce(struct txn_rounds *r, struct kept *kept, struct error *why)
{
    struct task *task = kept->task;
    bool reply_in = false, letter_in = !task->dead_letter_owed;
    for (int form = 0; form < FORMS_MAX && !(reply_in && letter_in); form++) {
        bool letter = reply_in;
        enum status status = letter ? record_producer_dead_letter(r->producer, task, task->value_omitted, why)
                                    : record_producer_reply(r->producer, task, task->reply, why);
        if (status == STATUS_OK) {
            *(letter ? &letter_in : &reply_in) = true;
        } else if (why->class != ERROR_PERMANENT) {
            return ANSWER_ABORT; /* the transaction has failed already */
        } else if (!publisher_replace_refused(task, letter, why)) {
            put_aside(r, kept, letter, why);
            return reply_in ? ANSWER_ABORT : ANSWER_OK;
        } else {
            letter_in = !task->dead_letter_owed;
        }
    }
    kept->inside = true;
    r->inside++;
    r->sealed = kept->alone;
    return ANSWER_OK;
}

static bool have_offers(struct txn_rounds *r)
{
    size_t left = 0;
    for (size_t i = 0; i < r->offers.count; i++) {
        struct partition *partition = r->offers.items[i];
        if (is_revoked(partition) || !partition_has_news(partition))
            partition_unref(partition);
        else
            r->offers.items[left++] = partition;
    }
    r->offers.count = left;
    return left > 0;
}

static size_t room(const struct txn_rounds *r)
{
    size_t most = (size_t)r->service->settings->worker.transaction_jobs_max;
    return r->sealed || r->inside >= most ? 0 : most - r->inside;
}

static enum answer fill(struct txn_rounds *r, struct error *why)
{
    enum answer answer = ANSWER_OK;
    kept_ends_admit(&r->kept, room(r), r->sealed, clock_mono_ms());
    for (size_t i = 0; i < r->kept.count && answer == ANSWER_OK; i++) {
        if (!r->kept.items[i].admitted)
            continue;
        answer = transaction_begin(&r->transaction, why);
        if (answer == ANSWER_OK)
            answer = produce(r, &r->kept.items[i], why);
    }
    if (answer == ANSWER_OK && !r->transaction.open && have_offers(r))
        answer = transaction_begin(&r->transaction, why);
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

static enum answer send_offsets(struct txn_rounds *r, struct shares *shares, struct error *why)
{
    enum answer answer = ANSWER_ABORT;
    rd_kafka_consumer_group_metadata_t *membership = transaction_membership(&r->transaction);
    if (membership == NULL) {
        error_set(why, ERROR_RETRIABLE, "no_member", "this worker is in no group now");
        return ANSWER_ABORT;
    }
    if (any_revoked(shares)) { /* looked at after the membership was taken: see the header */
        error_set(why, ERROR_CANCELLED, "revoked", "a partition went to another worker");
    } else {
        rd_kafka_topic_partition_list_t *list = to_kafka(shares);
        answer = transaction_send_offsets(&r->transaction, list, membership, why);
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
static void merge(struct txn_rounds *r, const struct shares *shares)
{
    METRIC_INC(transactions_committed_total);
    METRIC_ADD(commits_total, (int64_t)shares->count);
    log_debug("transaction_committed", F_INT("jobs", r->inside), F_INT("partitions", shares->count),
              F_INT("duration_ms", clock_mono_ms() - r->transaction.opened_ms));
    for (size_t i = 0; i < r->kept.count; i++)
        if (r->kept.items[i].inside && r->kept.items[i].task->dead_letter_owed)
            weather_succeeded(r->service->weather, WEATHER_DEAD_TOPIC);
    for (size_t i = 0; i < shares->count; i++)
        partition_committed_with(shares->items[i].partition, shares->items[i].offset, shares->items[i].with, shares->items[i].n);
    partitions_clear(&r->offers);
    r->inside = 0;
    r->sealed = false;
    r->failures = 0;
    r->round.gone += kept_ends_remove(&r->kept, is_inside);
}

static enum answer commit(struct txn_rounds *r, struct error *why)
{
    struct shares shares;
    enum answer answer = ANSWER_OK;
    if (!shares_make(&r->kept, &r->offers, &shares)) {
        error_set(why, ERROR_RETRIABLE, "completed_set_full", "what is done out of order doesn't fit into a commit; fewer ends go at once");
        answer = ANSWER_ABORT;
    }
    if (answer == ANSWER_OK && shares.count > 0)
        answer = send_offsets(r, &shares, why);
    if (answer == ANSWER_OK)
        answer = transaction_commit(&r->transaction, why);
    if (answer == ANSWER_OK)
        merge(r, &shares);
    else
        METRIC_ADD(commit_failures_total, (int64_t)shares.count);
    shares_finish(&shares);
    return answer;
}

/* ---- one round ---- */

/* Few others are about: nobody to wait for. Else by number and time. */
static bool is_due(const struct txn_rounds *r, bool commit_now)
{
    return commit_now || room(r) == 0 || metric_get(METRIC_jobs_alive) - (int64_t)r->kept.count <= FEW_JOBS ||
           clock_mono_ms() >= r->transaction.opened_ms + r->service->settings->worker.transaction_ms;
}

static void carry_on(struct txn_rounds *r, bool commit_now)
{
    struct error why = {0};
    rd_kafka_poll(record_producer_client(r->producer), 0);
    r->put_aside = false;
    if (drop_revoked(r) != ANSWER_OK || (!r->transaction.open && clock_mono_ms() < r->not_before_ms))
        return;
    enum answer answer = fill(r, &why);
    bool was_full = room(r) == 0;
    if (answer == ANSWER_OK && r->transaction.open && is_due(r, commit_now))
        answer = commit(r, &why);
    if (answer == ANSWER_END && why.class == ERROR_FATAL)
        r->round.failure = why;
    if (answer == ANSWER_ABORT && abort_open(r, &why) == ANSWER_OK) {
        if (r->put_aside)
            r->round.again = true;
        else if (strcmp(why.code, "revoked") != 0)
            back_off(r);
    }
    if (answer != ANSWER_OK || r->transaction.open)
        return;
    r->round.again = r->round.again || was_full; /* what didn't fit goes next */
    r->round.made = !was_full;
}

struct round txn_rounds_run(struct txn_rounds *r, bool commit_now)
{
    r->round = (struct round){0};
    carry_on(r, commit_now);
    return r->round;
}

int64_t txn_rounds_not_before_ms(const struct txn_rounds *r)
{
    return r->not_before_ms;
}

int64_t txn_rounds_next_ms(const struct txn_rounds *r)
{
    if (r->transaction.open)
        return r->transaction.opened_ms + r->service->settings->worker.transaction_ms;
    if (r->kept.count == 0 && r->offers.count == 0)
        return -1;
    int64_t soonest = INT64_MAX;
    for (size_t i = 0; i < r->kept.count; i++)
        if (r->kept.items[i].not_before_ms < soonest)
            soonest = r->kept.items[i].not_before_ms;
    if (r->kept.count == 0 || r->not_before_ms > soonest)
        soonest = r->not_before_ms;
    return soonest > clock_mono_ms() ? soonest : clock_mono_ms() + BACKOFF_MS_MAX; /* the latter: held back by a full set */
}

void txn_rounds_take(struct txn_rounds *r, struct kept_ends *incoming, struct partitions *offered)
{
    for (size_t i = 0; i < incoming->count; i++)
        kept_ends_add(&r->kept, incoming->items[i]);
    incoming->count = 0;
    for (size_t i = 0; i < offered->count; i++)
        partitions_add(&r->offers, offered->items[i]);
    partitions_clear(offered);
}

/* ---- start and end ---- */

/* In the thread, while the client is polled, flushed or aborts. What fails with its transaction is nobody's fault. */
static void reported(struct task *task, bool is_dead_letter, const struct error *err, void *arg)
{
    struct txn_rounds *r = arg;
    if (err == NULL || err->class != ERROR_PERMANENT)
        return;
    for (size_t i = 0; i < r->kept.count; i++)
        if (r->kept.items[i].task == task)
            *(is_dead_letter ? &r->kept.items[i].refused_letter : &r->kept.items[i].refused_reply) = true;
    r->refusal = *err;
}

enum status txn_rounds_create(const struct service *service, const char *bootstrap, const char *transactional_id, bool (*time_is_up)(void *arg),
                              void *arg, bool (*give_up)(void), struct txn_rounds **ret, struct error *err)
{
    struct txn_rounds *r = xcalloc(1, sizeof *r);
    r->service = service;
    transaction_init(&r->transaction, NULL, time_is_up, arg);
    if (record_producer_create(service->settings, bootstrap, transactional_id, reported, r, &r->producer, err) == STATUS_OK) {
        r->transaction.client = record_producer_client(r->producer);
        if (transaction_start(&r->transaction, service->settings->worker.startup_wait_ms, give_up, err) == STATUS_OK) {
            *ret = r;
            return STATUS_OK;
        }
    }
    txn_rounds_destroy(r);
    return STATUS_FAILED;
}

static bool is_any(const struct kept *kept)
{
    (void)kept;
    return true;
}

size_t txn_rounds_end(struct txn_rounds *r, bool abandon)
{
    struct error why;
    error_set(&why, ERROR_CANCELLED, "closing", "the worker ends");
    if (!abandon)
        (void)abort_open(r, &why);
    partitions_clear(&r->offers);
    return kept_ends_remove(&r->kept, is_any);
}

void txn_rounds_destroy(struct txn_rounds *r)
{
    if (r == NULL)
        return;
    record_producer_destroy(r->producer);
    transaction_finish(&r->transaction);
    kept_ends_finish(&r->kept);
    partitions_finish(&r->offers);
    free(r);
}

void txn_rounds_follow(struct txn_rounds *r, rd_kafka_t *consumer)
{
    transaction_follow(&r->transaction, consumer);
}
