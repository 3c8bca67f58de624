#include "completion/publisher.h"

#include <string.h>

#include "completion/outcome.h"
#include "ops/metrics.h"

enum status publisher_create(const struct service *service, const char *bootstrap, bool (*give_up)(void), struct publisher **ret, struct error *err)
{
    return service->settings->worker.delivery == DELIVERY_EXACTLY_ONCE ? publisher_txn_create(service, bootstrap, give_up, ret, err)
                                                                       : publisher_plain_create(service, bootstrap, ret, err);
}

void publisher_destroy(struct publisher *publisher)
{
    if (publisher != NULL)
        publisher->operations->destroy(publisher);
}

void publisher_put(struct publisher *publisher, struct task *task)
{
    publisher->operations->put(publisher, task);
}

void publisher_poll(struct publisher *publisher, int timeout_ms)
{
    publisher->operations->poll(publisher, timeout_ms);
}

void publisher_hurry(struct publisher *publisher, int timeout_ms)
{
    publisher->operations->hurry(publisher, timeout_ms);
}

int publisher_pending(struct publisher *publisher)
{
    return publisher->operations->pending(publisher);
}

bool publisher_wants_poll(struct publisher *publisher)
{
    return publisher->operations->wants_poll(publisher);
}

void publisher_close(struct publisher *publisher)
{
    publisher->operations->close(publisher);
}

void publisher_end_soon(struct publisher *publisher)
{
    publisher->operations->end_soon(publisher);
}

bool publisher_failed(struct publisher *publisher, struct error *ret)
{
    return publisher->operations->failed != NULL && publisher->operations->failed(publisher, ret);
}

void publisher_follow(struct publisher *publisher, rd_kafka_t *consumer)
{
    if (publisher->operations->follow != NULL)
        publisher->operations->follow(publisher, consumer);
}

void publisher_offer(struct publisher *publisher, struct partition *partition)
{
    if (publisher->operations->offer != NULL)
        publisher->operations->offer(publisher, partition);
}

bool publisher_commit_now(struct publisher *publisher, int64_t until_ms)
{
    return publisher->operations->commit_now == NULL || publisher->operations->commit_now(publisher, until_ms);
}

void publisher_revoked(struct publisher *publisher)
{
    if (publisher->operations->revoked != NULL)
        publisher->operations->revoked(publisher);
}

/* An error reply would meet the same topic, and the partition's commit would wait for it for ever. */
static bool leave_own_topic(struct task *task, const struct error *err)
{
    const struct header *wish = headers_find(&task->record.headers, "kafka_replyTopic");
    if (task->own_topic_refused || wish == NULL || wish->value == NULL || strstr(err->code, "TOPIC") == NULL)
        return false;
    log_warn("reply_topic_unusable", F_STR("job", task->job.id), F_INT("partition", task->record.partition),
             F_INT("offset", task->record.offset), F_STR("code", err->code),
             F_STR("error", "Kafka refuses the topic that kafka_replyTopic names; the reply goes to worker.replies_topic"));
    task->own_topic_refused = true;
    return true;
}

bool publisher_replace_refused(struct task *task, bool is_dead_letter, const struct error *err)
{
    if (!is_dead_letter && leave_own_topic(task, err))
        return true;
    METRIC_INC(publish_failures_total);
    log_error("publish_refused", F_STR("job", task->job.id), F_STR("record", is_dead_letter ? "dead_letter" : "reply"),
              F_INT("partition", task->record.partition), F_INT("offset", task->record.offset), F_STR("code", err->code),
              F_STR("error", err->message));
    if (is_dead_letter && !task->value_omitted && strstr(err->code, "SIZE") != NULL) {
        task->value_omitted = true;
        return true;
    }
    if (!is_dead_letter && !task->reply_replaced) {
        task->reply_replaced = true;
        error_set(&task->error, ERROR_PERMANENT, "reply_refused", "the reply can't be produced: %s", err->code);
        outcome_dead(task);
        task->dead_letter_owed = true;
        return true;
    }
    return false;
}
