/* At-least-once: each end is produced by the completion thread, and its offset is done when the broker has acknowledged
 * all of it. All in the completion thread but for end_soon.
 *
 * The broker refuses a whole batch for one record in it, or for the batch's own size. So those refused in company go on
 * `alone`, one at a time with nothing else under way, and what is put meanwhile waits behind them in `waiting`, so that a
 * lane's replies keep their order. Only an end that is refused alone gets another form. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "completion/publisher.h"
#include "completion/record_producer.h"
#include "dispatch/task_list.h"
#include "dispatch/weather.h"

#define REPUBLISH_MS 1000
#define ALONE_MS 20 /* how long the completion thread stays with those that go alone before it looks at new ends */

struct publisher_plain {
    struct publisher base;
    const struct service *service;
    struct record_producer *producer;
    atomic_bool ending;
    /* A task is in one of them at most (task->held); they hold references. */
    struct task_list held;    /* those that Kafka refused in every form, until republish_ms */
    struct task_list alone;   /* those that it refused in company */
    struct task_list waiting; /* those that were put since then */
    struct task *lone;        /* the one of `alone` that is under way; its record holds it */
};

static void keep(struct task_list *list, struct task *task)
{
    task->held = true;
    task_list_push(list, task_ref(task));
}

/* The first, whose reference goes to the caller; NULL: empty. */
static struct task *take(struct task_list *list)
{
    struct task *task = task_list_pop(list);
    if (task != NULL)
        task->held = false;
    return task;
}

static void drop_all(struct task_list *list)
{
    for (struct task *task; (task = take(list)) != NULL;)
        task_unref(task);
}

/* A client with a fatal error (a broker lost what it had acknowledged, say) takes no record any more: the process has to
 * be started again. What is left isn't kept: nothing of it is committed, and what was paid is answered from the store. */
static bool has_failed(const struct publisher_plain *p)
{
    return rd_kafka_fatal_error(record_producer_client(p->producer), NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void hold(struct publisher_plain *p, struct task *task)
{
    if (task->held || has_failed(p)) /* its other half was refused, too */
        return;
    task->republish_ms = clock_mono_ms() + REPUBLISH_MS;
    keep(&p->held, task);
}

static void acknowledged(struct task *task)
{
    partition_mark_done(task->partition, task->record.offset);
}

static void publish(struct publisher_plain *p, struct task *task);

/* A fault of one record, which the broker lays to all that came with it. */
static bool is_of_the_batch(const struct error *err)
{
    return strstr(err->code, "TOO_LARGE") != NULL || strncmp(err->code, "INVALID_", strlen("INVALID_")) == 0;
}

static void set_apart(struct publisher_plain *p, struct task *task, bool is_dead_letter, const struct error *err)
{
    if (p->alone.first == NULL)
        log_warn("batch_refused", F_STR("record", is_dead_letter ? "dead_letter" : "reply"), F_STR("job", task->job.id), F_STR("code", err->code),
                 F_STR("error", "its records go one by one; its topic's max.message.bytes should be at least kafka.message.max.bytes"));
    if (!task->held)
        keep(&p->alone, task);
}

/* What has no other form is held and tried again, and with it the commit. */
static void refused(struct publisher_plain *p, struct task *task, bool is_dead_letter, const struct error *err)
{
    if (has_failed(p))
        return;
    if (publisher_replace_refused(task, is_dead_letter, err)) {
        publish(p, task);
        return;
    }
    if (is_dead_letter)
        (void)weather_failed(p->service->weather, WEATHER_DEAD_TOPIC, task, err);
    hold(p, task);
}

/* Enqueues what is owed and not under way: called when nothing of this task is. */
static void send_owed(struct publisher_plain *p, struct task *task)
{
    struct error err;
    if (task->publish_pending > 0 || has_failed(p))
        return;
    task->publish_pending = 1; /* keeps it from being called done in between */
    if (task->reply_owed) {
        if (record_producer_reply(p->producer, task, task->reply, &err) == STATUS_OK) {
            task->publish_pending++;
        } else {
            task->publish_pending--;
            refused(p, task, false, &err);
            return;
        }
    }
    if (task->dead_letter_owed) {
        if (record_producer_dead_letter(p->producer, task, task->value_omitted, &err) == STATUS_OK) {
            task->publish_pending++;
        } else if (!task->value_omitted && strstr(err.code, "SIZE") != NULL) {
            task->value_omitted = true;
            if (record_producer_dead_letter(p->producer, task, true, &err) == STATUS_OK)
                task->publish_pending++;
        } else {
            (void)weather_failed(p->service->weather, WEATHER_DEAD_TOPIC, task, &err);
        }
    }
    task->publish_pending--;
    if (task->publish_pending == 0 && (task->reply_owed || task->dead_letter_owed))
        hold(p, task);
}

static void publish(struct publisher_plain *p, struct task *task)
{
    if (task->held)
        return; /* its turn comes */
    if (task != p->lone && (p->lone != NULL || p->alone.first != NULL))
        keep(&p->waiting, task);
    else
        send_owed(p, task);
}

static void reported(struct task *task, bool is_dead_letter, const struct error *err, void *arg)
{
    struct publisher_plain *p = arg;
    bool ending = atomic_load(&p->ending);
    task->publish_pending--;
    if (err == NULL && is_dead_letter)
        weather_succeeded(p->service->weather, WEATHER_DEAD_TOPIC);
    if (err == NULL)
        *(is_dead_letter ? &task->dead_letter_owed : &task->reply_owed) = false;
    else if (!ending && task != p->lone && is_of_the_batch(err) && !has_failed(p))
        set_apart(p, task, is_dead_letter, err);
    else if (!ending)
        refused(p, task, is_dead_letter, err);
    if (task->publish_pending > 0)
        return;
    if (!task->reply_owed && !task->dead_letter_owed)
        acknowledged(task);
    else if (err == NULL && !ending)
        publish(p, task); /* its other half was refused while this one was under way */
    if (task == p->lone && task->publish_pending == 0)
        p->lone = NULL;
}

/* The pause is the same for all, so the first is due first. */
static void republish_held(struct publisher_plain *p)
{
    int64_t now = clock_mono_ms();
    while (p->held.first != NULL && p->held.first->republish_ms <= now) {
        struct task *task = take(&p->held);
        publish(p, task);
        task_unref(task);
    }
}

static void send_alone(struct publisher_plain *p)
{
    struct task *task = take(&p->alone);
    p->lone = task;
    send_owed(p, task);
    if (task->publish_pending == 0) /* held */
        p->lone = NULL;
    task_unref(task);
}

/* Those of `alone`, each when all before it is acknowledged, for as long as ALONE_MS; and after the last of them those
 * that wait. */
static void serve_apart(struct publisher_plain *p)
{
    rd_kafka_t *client = record_producer_client(p->producer);
    int64_t until = clock_mono_ms() + ALONE_MS;
    while (p->alone.first != NULL && !has_failed(p)) {
        rd_kafka_flush(client, ALONE_MS);
        if (rd_kafka_outq_len(client) > 0 || clock_mono_ms() >= until)
            return;
        send_alone(p);
    }
    while (p->lone == NULL && p->alone.first == NULL && p->waiting.first != NULL) {
        struct task *task = take(&p->waiting);
        publish(p, task);
        task_unref(task);
    }
}

/* ---- the interface ---- */

static void plain_put(struct publisher *publisher, struct task *task)
{
    publish((struct publisher_plain *)publisher, task);
}

static void plain_poll(struct publisher *publisher, int timeout_ms)
{
    struct publisher_plain *p = (struct publisher_plain *)publisher;
    republish_held(p);
    rd_kafka_poll(record_producer_client(p->producer), timeout_ms);
    serve_apart(p);
}

static void plain_hurry(struct publisher *publisher, int timeout_ms)
{
    struct publisher_plain *p = (struct publisher_plain *)publisher;
    republish_held(p);
    rd_kafka_flush(record_producer_client(p->producer), timeout_ms);
    serve_apart(p);
}

static int plain_pending(struct publisher *publisher)
{
    struct publisher_plain *p = (struct publisher_plain *)publisher;
    return rd_kafka_outq_len(record_producer_client(p->producer)) + (p->held.first != NULL || p->alone.first != NULL || p->waiting.first != NULL);
}

static bool plain_wants_poll(struct publisher *publisher)
{
    return plain_pending(publisher) > 0;
}

static void plain_close(struct publisher *publisher)
{
    struct publisher_plain *p = (struct publisher_plain *)publisher;
    drop_all(&p->held);
    drop_all(&p->alone);
    drop_all(&p->waiting);
}

static void plain_end_soon(struct publisher *publisher)
{
    atomic_store(&((struct publisher_plain *)publisher)->ending, true);
}

static bool plain_failed(struct publisher *publisher, struct error *ret)
{
    char why[160] = "";
    rd_kafka_resp_err_t rc = rd_kafka_fatal_error(record_producer_client(((struct publisher_plain *)publisher)->producer), why, sizeof why);
    if (rc != RD_KAFKA_RESP_ERR_NO_ERROR)
        error_set(ret, ERROR_RETRIABLE, rd_kafka_err2name(rc), "the Kafka producer has failed for good (%s: %s); start the worker again, nothing is lost",
                  rd_kafka_err2name(rc), why);
    return rc != RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void plain_destroy(struct publisher *publisher)
{
    struct publisher_plain *p = (struct publisher_plain *)publisher;
    plain_end_soon(publisher);
    record_producer_destroy(p->producer);
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
    if (record_producer_create(service->settings, bootstrap, NULL, reported, p, &p->producer, err) != STATUS_OK) {
        free(p);
        return STATUS_FAILED;
    }
    *ret = &p->base;
    return STATUS_OK;
}
