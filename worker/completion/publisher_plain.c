/* At-least-once: each end is produced by the completion thread, and its offset is done when the broker has acknowledged
 * all its records. All in the completion thread, except end_soon.
 *
 * Ends are enqueued in the order of put as long as the client has room; the others wait in the queue (end_queue.h) until
 * delivery reports have made room: nothing here blocks, so that completion goes on with Redis and the other ends meanwhile.
 *
 * The broker refuses a whole batch for one record in it, or for the batch's own size. So ends refused together are sent
 * apart, one at a time with nothing else under way, and ends put meanwhile wait behind them, so that a
 * lane's replies keep their order. Only an end that is refused alone gets another form.
 *
 * A client with a fatal error accepts no more records. One brings it about itself: before librdkafka 2.3, if a broker that comes back refuses a
 * partition's first batch, as it doesn't lead it yet, and gets the second one as it does (librdkafka's issue 4438). Another client takes its place, and
 * what wasn't acknowledged is sent again, in order: a record may come twice, as after a crash, but no job is lost or asked again. */
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "breakers/breakers.h"
#include "completion/end_queue.h"
#include "completion/publisher.h"
#include "completion/record_producer.h"
#include "completion/refused_end.h"
#include "completion/renewals.h"
#include "telemetry/metrics.h"

#define REPUBLISH_MS 1000
#define RENEW_PREPARE_MS 500 /* for each of two topics, while lanes wait; a broker that has just refused a record answers */
#define ALONE_MS 20 /* how long the completion thread sends ends one by one before it looks at new ends */

struct publisher_plain {
    struct publisher base;
    const struct service *service;
    char *bootstrap;
    struct renewals renewals;
    atomic_bool ending;
    struct mutex lock;                /* guards the next two where another thread asks; the completion thread alone writes them */
    struct record_producer *producer; /* NULL: it has failed, and there is no other */
    struct error failure;             /* class NONE: none. For good: the process has to be started again */
    struct end_queue ends;
    bool closed;
    bool client_full; /* the client had no room at the last try since the last poll */
};

static rd_kafka_t *client_of(const struct publisher_plain *p)
{
    return record_producer_client(p->producer);
}

static bool client_is_dead(const struct publisher_plain *p)
{
    return rd_kafka_fatal_error(client_of(p), NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Remaining ends are dropped: their offsets aren't committed, and answers stored in Redis are published from there. */
static bool has_failed(const struct publisher_plain *p)
{
    return p->failure.class != ERROR_NONE;
}

static void hold_if_later(struct task *task, enum refused_next next)
{
    if (next == REFUSED_LATER)
        task->end->not_before_ms = clock_mono_ms() + REPUBLISH_MS;
}

/* A refusal by a broker. The end is sent again once none of its records is under way. */
static void note_refusal(struct publisher_plain *p, struct task *task, bool is_dead_letter, const struct refusal *why)
{
    enum refused_next next = refused_end(p->service, task, is_dead_letter, !task->end->apart, why);
    if (next == REFUSED_APART && !end_queue_goes_apart(&p->ends))
        log_warn("batch_refused", F_STR("record", is_dead_letter ? "dead_letter" : "reply"), F_STR("job", task->job.id), F_STR("code", why->error.code),
                 F_STR("error", "its records go one by one; its topic's max.message.bytes should be at least kafka.message.max.bytes"));
    task->end->apart = task->end->apart || next == REFUSED_APART;
    hold_if_later(task, next);
}

/* One of its records was delivered or given up, or the client refused it. */
static void go_on(struct publisher_plain *p, struct task *task)
{
    if (task->end->under_way > 0)
        return;
    if (!task->end->reply_owed && !task->end->dead_letter_owed) {
        partition_mark_done(task->partition, task->record.offset);
        task_steps_ended(task, STEPS_OF_COMPLETION, STEP_PUBLISH);
        end_queue_move(&p->ends, task, PUBLISH_DONE);
    } else if (task->end->state == PUBLISH_INCOMPLETE && !p->closed && !has_failed(p)) {
        end_queue_again(&p->ends, task);
    } else {
        end_queue_move(&p->ends, task, PUBLISH_DROPPED); /* the process ends */
    }
}

static void set_incomplete(struct publisher_plain *p, struct task *task)
{
    if (task->end->state == PUBLISH_SENT)
        end_queue_move(&p->ends, task, PUBLISH_INCOMPLETE);
}

/* False: the end's remaining records have to wait. */
static bool enqueue_record(struct publisher_plain *p, struct task *task, bool is_dead_letter)
{
    struct refusal why;
    enum status status;
    enum refused_next next = REFUSED_AGAIN;
    do {
        status = is_dead_letter ? record_producer_dead_letter(p->producer, task, &why) : record_producer_reply(p->producer, task, &why);
        if (status == STATUS_FAILED && client_is_dead(p))
            status = STATUS_AGAIN;
        if (status == STATUS_FAILED)
            next = refused_end(p->service, task, is_dead_letter, false, &why); /* refused by the client, so not in a batch */
    } while (status == STATUS_FAILED && next == REFUSED_AGAIN);
    if (status == STATUS_OK) {
        task->end->under_way++;
        return true;
    }
    p->client_full = p->client_full || status == STATUS_AGAIN;
    hold_if_later(task, next);
    set_incomplete(p, task);
    return false;
}

static void enqueue(struct publisher_plain *p, struct task *task)
{
    end_queue_move(&p->ends, task, PUBLISH_SENT);
    if ((!task->end->reply_owed || enqueue_record(p, task, false)) && (!task->end->dead_letter_owed || enqueue_record(p, task, true)))
        return;
    go_on(p, task);
}

/* As many as may be sent, and as the client has room for. */
static void enqueue_owed(struct publisher_plain *p)
{
    struct task *task;
    if (has_failed(p)) {
        end_queue_drop_waiting(&p->ends);
        return;
    }
    while (!p->client_full && !client_is_dead(p) && (task = end_queue_next(&p->ends)) != NULL)
        enqueue(p, task);
}

static void reported(struct task *task, bool is_dead_letter, const struct refusal *why, void *arg)
{
    struct publisher_plain *p = arg;
    task->end->under_way--;
    if (why == NULL && is_dead_letter)
        breakers_succeeded(p->service->breakers, DEPENDENCY_DEAD_TOPIC);
    if (why == NULL) {
        *(is_dead_letter ? &task->end->dead_letter_owed : &task->end->reply_owed) = false;
    } else if (!atomic_load(&p->ending) && !has_failed(p)) {
        if (!client_is_dead(p))
            note_refusal(p, task, is_dead_letter, why);
        set_incomplete(p, task);
    }
    go_on(p, task);
}

/* After a poll: enqueues as many as there is room for now. Ends apart are sent each when all before are acknowledged, for about ALONE_MS. */
static void serve_apart(struct publisher_plain *p)
{
    int64_t until = clock_mono_ms() + ALONE_MS;
    p->client_full = false;
    enqueue_owed(p);
    while (end_queue_goes_apart(&p->ends) && !client_is_dead(p) && clock_mono_ms() < until) {
        rd_kafka_flush(client_of(p), ALONE_MS);
        p->client_full = false;
        enqueue_owed(p);
    }
}

/* ---- another client ---- */

static void say_failed(const char *code, const char *why, struct error *ret)
{
    (void)error_set(ret, ERROR_RETRIABLE, code, "the Kafka producer has failed for good (%s: %s); start the worker again, nothing is lost", code, why);
}

static void end_for_good(struct publisher_plain *p, const char *code, const char *why)
{
    mutex_lock(&p->lock);
    say_failed(code, why, &p->failure);
    mutex_unlock(&p->lock);
    end_queue_drop_waiting(&p->ends);
}

static void set_producer(struct publisher_plain *p, struct record_producer *producer)
{
    mutex_lock(&p->lock);
    p->producer = producer;
    mutex_unlock(&p->lock);
}

/* Of a client that is destroyed: no report of these comes any more. The last first: each goes in front of those owed before. */
static void take_back_unreported(struct publisher_plain *p)
{
    for (struct task *task; (task = p->ends.sent.last) != NULL;) {
        int references = task->end->under_way;
        set_incomplete(p, task);
        task->end->under_way = 0;
        task->published_bytes[false] = task->published_bytes[true] = 0;
        task_weigh_end(task);
        go_on(p, task);
        for (; references > 0; references--)
            task_unref(task);
    }
}

/* Records of the old client that aren't acknowledged are reported to be given up, so that their ends are owed again. Blocks for PURGE_MS and twice RENEW_PREPARE_MS at most. */
static void replace_client(struct publisher_plain *p, const char *code, const char *why)
{
    struct error err;
    struct record_producer *old = p->producer, *other = NULL;
    record_producer_give_up(old);
    set_producer(p, NULL);
    record_producer_destroy_later(old);
    take_back_unreported(p);
    if (atomic_load(&p->ending)) { /* those under way were dropped: a reply must not come before them */
        end_for_good(p, code, why);
        return;
    }
    if (record_producer_create(p->service->settings, p->bootstrap, NULL, reported, p, &other, &err) != STATUS_OK) {
        end_for_good(p, err.code, err.message);
        return;
    }
    set_producer(p, other);
    record_producer_prepare(other, RENEW_PREPARE_MS);
    p->client_full = false;
    METRIC_INC(producers_renewed_total);
    log_warn("producer_renewed", F_STR("code", code), F_STR("error", why), F_INT("waiting", p->ends.owed.count),
             F_STR("hint", "no job is lost, but replies may have come twice; librdkafka before 2.3 fails so at some restarts of a broker"));
}

/* False: there is no client. */
static bool look_after_client(struct publisher_plain *p)
{
    char why[160] = "";
    rd_kafka_resp_err_t rc = has_failed(p) ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_fatal_error(client_of(p), why, sizeof why);
    if (rc == RD_KAFKA_RESP_ERR_NO_ERROR)
        return p->producer != NULL;
    if (renewals_help(rc) && !p->closed && !atomic_load(&p->ending) && renewals_allow(&p->renewals, clock_mono_ms()))
        replace_client(p, rd_kafka_err2name(rc), why);
    else
        end_for_good(p, rd_kafka_err2name(rc), why);
    return p->producer != NULL;
}

static void rest(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

/* ---- the interface ---- */

static void plain_put(struct publisher *publisher, struct task *task)
{
    struct publisher_plain *p = (struct publisher_plain *)publisher;
    end_queue_put(&p->ends, task);
    enqueue_owed(p);
}

static void plain_poll(struct publisher *publisher, int timeout_ms)
{
    struct publisher_plain *p = (struct publisher_plain *)publisher;
    if (!look_after_client(p)) {
        rest(timeout_ms);
        return;
    }
    end_queue_release(&p->ends, clock_mono_ms());
    rd_kafka_poll(client_of(p), timeout_ms);
    serve_apart(p);
}

static void plain_hurry(struct publisher *publisher, int timeout_ms)
{
    struct publisher_plain *p = (struct publisher_plain *)publisher;
    if (!look_after_client(p)) {
        rest(timeout_ms);
        return;
    }
    end_queue_release(&p->ends, clock_mono_ms());
    enqueue_owed(p);
    rd_kafka_flush(client_of(p), timeout_ms);
    serve_apart(p);
}

static int plain_pending(struct publisher *publisher)
{
    struct publisher_plain *p = (struct publisher_plain *)publisher;
    return (p->producer != NULL ? rd_kafka_outq_len(client_of(p)) : 0) + (p->ends.owed.first != NULL || p->ends.held.first != NULL);
}

static bool plain_wants_poll(struct publisher *publisher)
{
    return plain_pending(publisher) > 0;
}

static bool plain_close(struct publisher *publisher, int64_t until_ms)
{
    struct publisher_plain *p = (struct publisher_plain *)publisher;
    (void)until_ms; /* it waits for nothing */
    p->closed = true;
    end_queue_drop_waiting(&p->ends);
    return true;
}

static void plain_end_soon(struct publisher *publisher)
{
    atomic_store(&((struct publisher_plain *)publisher)->ending, true);
}

/* Also of a client that nothing is put to: one that may not produce says so soon after the start, and no job should be paid for before. */
static bool plain_failed(struct publisher *publisher, struct error *ret)
{
    struct publisher_plain *p = (struct publisher_plain *)publisher;
    char why[160] = "";
    mutex_lock(&p->lock);
    bool failed = has_failed(p);
    if (failed)
        *ret = p->failure;
    rd_kafka_resp_err_t rc = failed || p->producer == NULL ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_fatal_error(client_of(p), why, sizeof why);
    mutex_unlock(&p->lock);
    if (rc == RD_KAFKA_RESP_ERR_NO_ERROR || renewals_help(rc))
        return failed;
    say_failed(rd_kafka_err2name(rc), why, ret);
    return true;
}

static void plain_destroy(struct publisher *publisher)
{
    struct publisher_plain *p = (struct publisher_plain *)publisher;
    plain_end_soon(publisher);
    (void)plain_close(publisher, 0);
    if (!record_producer_destroy(p->producer))
        return;
    mutex_destroy(&p->lock);
    free(p->bootstrap);
    free(p);
}

static const struct publisher_operations operations = {.destroy = plain_destroy, .put = plain_put, .poll = plain_poll, .hurry = plain_hurry,
                                                       .pending = plain_pending, .wants_poll = plain_wants_poll, .close = plain_close,
                                                       .end_soon = plain_end_soon, .failed = plain_failed};

enum status publisher_plain_create(const struct service *service, const char *bootstrap, struct publisher **ret, struct error *err)
{
    struct publisher_plain *p = xcalloc(1, sizeof *p);
    p->base.operations = &operations;
    p->service = service;
    p->bootstrap = xstrdup(bootstrap);
    mutex_init(&p->lock);
    if (record_producer_create(service->settings, bootstrap, NULL, reported, p, &p->producer, err) != STATUS_OK) {
        plain_destroy(&p->base);
        return STATUS_FAILED;
    }
    record_producer_prepare(p->producer, PREPARE_MS);
    *ret = &p->base;
    return STATUS_OK;
}
