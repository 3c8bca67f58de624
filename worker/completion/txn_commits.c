#include "completion/txn_commits.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "breakers/breakers.h"
#include "completion/publisher.h"
#include "completion/record_producer.h"
#include "completion/refused_end.h"
#include "completion/transaction.h"
#include "completion/txn_admission.h"
#include "task/crowd.h"
#include "telemetry/metrics.h"

#define ASIDE_MS 1000 /* until an end that Kafka refuses in every form is tried again, plus, for each other such end: */
#define ASIDE_EACH_MS 100 /* each costs an aborted transaction, and the other ends must get most of the time */
#define BACKOFF_MS_MIN 20
#define BACKOFF_MS_MAX 2000
#define ROOM_POLL_MS 50

struct txn_commits {
    const struct service *service;
    struct record_producer *producer;
    struct transaction transaction;
    struct end_queue ends; /* SENT and INCOMPLETE: in the open transaction */
    struct partitions offers;
    struct txn_round round; /* the result of this round */
    bool client_full;   /* in this round: no more ends enter before the commit */
    bool put_aside;     /* in this round: the failing end is held */
    int failures;       /* in a row: the backoff's exponent */
    int64_t not_before_ms;
};

static bool is_revoked(const struct partition *partition)
{
    return atomic_load(&partition->revoked);
}

/* ---- ending a transaction without effect ---- */

static void back_off(struct txn_commits *r)
{
    int shift = r->failures < 7 ? r->failures : 7;
    int64_t wait_ms = (int64_t)BACKOFF_MS_MIN << shift;
    r->failures++;
    r->not_before_ms = clock_mono_ms() + (wait_ms < BACKOFF_MS_MAX ? wait_ms : BACKOFF_MS_MAX);
}

/* A record of an end in the transaction was refused; the consequence follows when it is aborted. An end without another form stays apart
 * from then on, so that its next attempt aborts no other ends. */
static void set_incomplete(struct txn_commits *r, struct task *task, enum refused_next next)
{
    task->end->apart = task->end->apart || next != REFUSED_AGAIN;
    task->end->not_before_ms = next == REFUSED_LATER ? clock_mono_ms() + ASIDE_MS + (int64_t)r->ends.held.count * ASIDE_EACH_MS : 0;
    end_queue_move(&r->ends, task, PUBLISH_INCOMPLETE);
}

/* The last first: each goes in front of those returned before. */
static void take_back(struct txn_commits *r)
{
    for (struct task *task; (task = r->ends.sent.last) != NULL;) {
        r->put_aside = r->put_aside || task->end->not_before_ms > 0;
        if (task->end->state == PUBLISH_INCOMPLETE)
            end_queue_again(&r->ends, task);
        else
            end_queue_move(&r->ends, task, PUBLISH_OWED);
    }
}

/* Aborts the open transaction; its ends are owed again or held. */
static enum answer abort_open(struct txn_commits *r, const struct stop *why)
{
    struct stop worse;
    bool was_open = r->transaction.open;
    if (transaction_abort(&r->transaction, &worse) == ANSWER_END) {
        if (worse.error.class == ERROR_FATAL)
            r->round.failure = worse.error;
        return ANSWER_END;
    }
    if (was_open) {
        METRIC_INC(transactions_aborted_total);
        log_warn("transaction_aborted", F_INT("jobs", r->ends.sent.count), F_STR("code", why->error.code), F_STR("error", why->error.message),
                 F_INT("duration_ms", clock_mono_ms() - r->transaction.opened_ms));
    }
    take_back(r);
    return ANSWER_OK;
}

static bool is_of_the_revoked(const struct task *task)
{
    return is_revoked(task->partition);
}

static size_t count_of(const struct task_list *list, bool (*is)(const struct task *task))
{
    size_t n = 0;
    for (const struct task *task = list->first; task != NULL; task = task->next)
        n += is(task);
    return n;
}

static bool owes_a_dead_letter(const struct task *task)
{
    return task->end->dead_letter_owed;
}

/* Drops ends of revoked partitions: their new owner publishes them from Redis. If the last refused dead letter is among them,
 * the dead topic isn't tried any more, and its breaker would hold the intake for ever: so the breaker is closed. */
static enum answer drop_revoked(struct txn_commits *r)
{
    size_t inside = count_of(&r->ends.sent, is_of_the_revoked);
    if (inside > 0) {
        struct stop why = {.reason = STOP_REVOKED};
        error_set(&why.error, ERROR_CANCELLED, "revoked", "%zu of its jobs are of partitions that went to another worker", inside);
        if (abort_open(r, &why) != ANSWER_OK)
            return ANSWER_END;
    }
    size_t aside = count_of(&r->ends.held, owes_a_dead_letter);
    r->round.gone += end_queue_drop(&r->ends, is_of_the_revoked);
    if (aside > 0 && count_of(&r->ends.held, owes_a_dead_letter) == 0)
        breakers_succeeded(r->service->breakers, DEPENDENCY_DEAD_TOPIC);
    return ANSWER_OK;
}

/* ---- filling ---- */

static enum answer stopped(struct stop *why, enum stop_reason reason, const struct error *error)
{
    why->reason = reason;
    why->error = *error;
    return ANSWER_ABORT;
}

/* The client has no room for a dead letter whose reply is in already: it has when a record of the transaction is acknowledged or
 * fails, after its message.timeout.ms at the latest. */
static bool wait_for_room(struct txn_commits *r)
{
    rd_kafka_poll(record_producer_client(r->producer), ROOM_POLL_MS);
    return !r->transaction.time_is_up(r->transaction.arg);
}

/* A record that the client refuses at once (message.max.bytes) doesn't enter: it gets another form. */
static enum answer enter(struct txn_commits *r, struct task *task, struct stop *why)
{
    struct refusal refusal;
    bool reply_in = false, dead_letter_in = !task->end->dead_letter_owed;
    end_queue_move(&r->ends, task, PUBLISH_SENT);
    while (!reply_in || !dead_letter_in) {
        bool dead_letter = reply_in;
        switch (dead_letter ? record_producer_dead_letter(r->producer, task, &refusal) : record_producer_reply(r->producer, task, &refusal)) {
        case STATUS_OK:
            *(dead_letter ? &dead_letter_in : &reply_in) = true;
            continue;
        case STATUS_AGAIN:
            if (dead_letter && wait_for_room(r))
                continue;
            if (dead_letter)
                return stopped(why, STOP_RECORD, &refusal.error);
            end_queue_move(&r->ends, task, PUBLISH_OWED);
            r->client_full = true;
            return ANSWER_OK;
        default:
            break;
        }
        if (!refusal_is_final(refusal.kind))
            return stopped(why, STOP_RECORD, &refusal.error); /* the transaction has failed already */
        enum refused_next next = refused_end(r->service, task, dead_letter, false, &refusal);
        dead_letter_in = !task->end->dead_letter_owed;
        if (next == REFUSED_AGAIN)
            continue;
        if (task->end->state == PUBLISH_SENT)
            set_incomplete(r, task, next);
        if (reply_in)
            return stopped(why, STOP_RECORD, &refusal.error); /* one of its records is in, and another can't be */
        r->put_aside = true;
        end_queue_again(&r->ends, task);
        return ANSWER_OK;
    }
    return ANSWER_OK;
}

static bool have_offers(struct txn_commits *r)
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

static size_t room(const struct txn_commits *r)
{
    size_t most = (size_t)r->service->settings->worker.transaction_jobs_max, inside = r->ends.sent.count;
    bool sealed = inside > 0 && r->ends.sent.first->end->apart;
    return sealed || r->client_full || inside >= most ? 0 : most - inside;
}

static enum answer fill(struct txn_commits *r, struct stop *why)
{
    enum answer answer = ANSWER_OK;
    end_queue_release(&r->ends, clock_mono_ms());
    txn_admit(&r->ends, room(r));
    for (struct task *task = r->ends.owed.first, *after; task != NULL && answer == ANSWER_OK && !r->client_full; task = after) {
        after = task->next;
        if (!task->end->admitted)
            continue;
        answer = transaction_begin(&r->transaction, why);
        if (answer == ANSWER_OK)
            answer = enter(r, task, why);
    }
    if (answer == ANSWER_OK && !r->transaction.open && have_offers(r))
        answer = transaction_begin(&r->transaction, why);
    return answer;
}

/* ---- committing ---- */

static enum answer send_offsets(struct txn_commits *r, struct shares *shares, struct stop *why)
{
    enum answer answer = ANSWER_ABORT;
    struct membership membership;
    if (!transaction_membership(&r->transaction, &membership)) {
        why->reason = STOP_NO_MEMBER;
        error_set(&why->error, ERROR_RETRIABLE, "no_member", "this worker is in no group now");
        return ANSWER_ABORT;
    }
    if (shares_are_ours(shares, membership.member, why)) { /* checked after the membership was taken: see the header */
        rd_kafka_topic_partition_list_t *list = shares_to_kafka(shares);
        answer = transaction_send_offsets(&r->transaction, list, membership.metadata, why);
        rd_kafka_topic_partition_list_destroy(list);
    }
    membership_finish(&membership);
    if (answer == ANSWER_ABORT && why->reason == STOP_METADATA_TOO_LARGE)
        shares_metadata_refused(shares);
    return answer;
}

/* After the commit: only now the ends are done. */
static void merge(struct txn_commits *r, const struct shares *shares)
{
    METRIC_INC(transactions_committed_total);
    METRIC_ADD(commits_total, (int64_t)shares->count);
    log_debug("transaction_committed", F_INT("jobs", r->ends.sent.count), F_INT("partitions", shares->count),
              F_INT("duration_ms", clock_mono_ms() - r->transaction.opened_ms));
    for (size_t i = 0; i < shares->count; i++)
        partition_committed_with(shares->items[i].partition, shares->items[i].offset, shares->items[i].with, shares->items[i].n);
    r->round.gone += r->ends.sent.count;
    for (struct task *task; (task = r->ends.sent.first) != NULL;) {
        if (task->end->dead_letter_owed)
            breakers_succeeded(r->service->breakers, DEPENDENCY_DEAD_TOPIC);
        task_steps_ended(task, STEPS_OF_TRANSACTIONS, STEP_PUBLISH);
        end_queue_move(&r->ends, task, PUBLISH_DONE);
    }
    partitions_clear(&r->offers);
    r->failures = 0;
}

static enum answer commit(struct txn_commits *r, struct stop *why)
{
    struct shares shares;
    enum answer answer = ANSWER_OK;
    if (!shares_make(&r->ends, &r->offers, &shares)) {
        why->reason = STOP_SET_FULL;
        error_set(&why->error, ERROR_RETRIABLE, "completed_set_full", "what is done out of order doesn't fit into a commit; fewer ends go at once");
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

/* With few other jobs alive a commit is due at once, else by number and time. */
static bool is_due(const struct txn_commits *r, bool commit_now)
{
    return commit_now || room(r) == 0 || metric_get(METRIC_jobs_alive) - (int64_t)end_queue_count(&r->ends) <= FEW_JOBS ||
           clock_mono_ms() >= r->transaction.opened_ms + r->service->settings->worker.transaction_ms;
}

static void carry_on(struct txn_commits *r, bool commit_now)
{
    struct stop why = {0};
    rd_kafka_poll(record_producer_client(r->producer), 0);
    r->put_aside = r->client_full = false;
    if (drop_revoked(r) != ANSWER_OK || (!r->transaction.open && clock_mono_ms() < r->not_before_ms))
        return;
    enum answer answer = fill(r, &why);
    bool was_full = room(r) == 0;
    if (answer == ANSWER_OK && r->transaction.open && is_due(r, commit_now))
        answer = commit(r, &why);
    if (answer == ANSWER_END && why.error.class == ERROR_FATAL)
        r->round.failure = why.error;
    if (answer == ANSWER_ABORT && abort_open(r, &why) == ANSWER_OK) {
        if (r->put_aside)
            r->round.again = true;
        else if (why.reason != STOP_REVOKED)
            back_off(r);
    }
    if (answer != ANSWER_OK || r->transaction.open)
        return;
    r->round.again = r->round.again || was_full; /* ends that didn't fit enter the next transaction */
    r->round.made = !was_full;
}

struct txn_round txn_commits_run(struct txn_commits *r, bool commit_now)
{
    r->round = (struct txn_round){0};
    carry_on(r, commit_now);
    return r->round;
}

int64_t txn_commits_not_before_ms(const struct txn_commits *r)
{
    return r->not_before_ms;
}

int64_t txn_commits_next_ms(const struct txn_commits *r)
{
    if (r->transaction.open)
        return r->transaction.opened_ms + r->service->settings->worker.transaction_ms;
    if (end_queue_count(&r->ends) == 0 && r->offers.count == 0)
        return -1;
    int64_t soonest = r->not_before_ms;
    if (r->ends.owed.count == 0 && r->ends.held.count > 0 && r->ends.due_ms > soonest)
        soonest = r->ends.due_ms;
    return soonest > clock_mono_ms() ? soonest : clock_mono_ms() + BACKOFF_MS_MAX; /* BACKOFF_MS_MAX: held back by a full completed set */
}

void txn_commits_take(struct txn_commits *r, struct task_list *incoming, struct partitions *offered)
{
    for (struct task *task; (task = task_list_pop(incoming)) != NULL; task_unref(task))
        end_queue_put(&r->ends, task);
    for (size_t i = 0; i < offered->count; i++)
        partitions_add(&r->offers, offered->items[i]);
    partitions_clear(offered);
}

/* ---- start and end ---- */

/* In the thread, while the client is polled, flushed or aborts. A record that fails because of its transaction is not at fault. */
static void reported(struct task *task, bool is_dead_letter, const struct refusal *why, void *arg)
{
    struct txn_commits *r = arg;
    if (why != NULL && refusal_is_final(why->kind) && task->end->state == PUBLISH_SENT)
        set_incomplete(r, task, refused_end(r->service, task, is_dead_letter, !task->end->apart, why));
}

enum status txn_commits_create(const struct service *service, const char *bootstrap, const char *transactional_id, bool (*time_is_up)(void *arg),
                              void *arg, bool (*give_up)(void), struct txn_commits **ret, struct error *err)
{
    struct txn_commits *r = xcalloc(1, sizeof *r);
    r->service = service;
    transaction_init(&r->transaction, NULL, time_is_up, arg);
    if (record_producer_create(service->settings, bootstrap, transactional_id, reported, r, &r->producer, err) == STATUS_OK) {
        r->transaction.client = record_producer_client(r->producer);
        record_producer_prepare(r->producer, PREPARE_MS);
        if (transaction_start(&r->transaction, service->settings->worker.startup_wait_ms, give_up, err) == STATUS_OK) {
            *ret = r;
            return STATUS_OK;
        }
    }
    (void)!txn_commits_destroy(r);
    return STATUS_FAILED;
}

size_t txn_commits_end(struct txn_commits *r, bool abandon)
{
    struct stop why = {.reason = STOP_CLOSING};
    error_set(&why.error, ERROR_CANCELLED, "closing", "the worker ends");
    if (!abandon)
        (void)abort_open(r, &why);
    partitions_clear(&r->offers);
    return end_queue_drop(&r->ends, NULL);
}

bool txn_commits_destroy(struct txn_commits *r)
{
    if (r == NULL)
        return true;
    if (!record_producer_destroy(r->producer))
        return false;
    transaction_finish(&r->transaction);
    partitions_finish(&r->offers);
    free(r);
    return true;
}

void txn_commits_follow(struct txn_commits *r, rd_kafka_t *consumer)
{
    transaction_follow(&r->transaction, consumer);
}
