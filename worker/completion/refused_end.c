#include "completion/refused_end.h"

#include "breakers/breakers.h"
#include "completion/end.h"
#include "task/outcome.h"
#include "telemetry/metrics.h"

static bool has_value(const struct task *task, const char *name)
{
    const struct header *header = headers_find(&task->record.headers, name);
    return header != NULL && header->value != NULL;
}

/* From now on ignores the reply's own topic or partition, by setting *refused. */
static bool leave(struct task *task, bool *refused, const char *event, const char *what, const struct refusal *why)
{
    METRIC_INC(reply_routes_ignored_total);
    log_warn(event, F_STR("job", task->job.id), F_INT("partition", task->record.partition), F_INT("offset", task->record.offset),
             F_STR("code", why->error.code), F_STR("error", what));
    *refused = true;
    return true;
}

/* An error reply would be refused by the same topic, and the partition's commit would wait for it for ever. */
static bool leave_own_route(struct task *task, const struct refusal *why)
{
    if (why->kind == REFUSAL_PARTITION && !task->end->own_partition_refused && !task->end->own_topic_refused && has_value(task, "kafka_replyPartition"))
        return leave(task, &task->end->own_partition_refused, "reply_partition_unusable",
                     "the reply topic has no such partition as kafka_replyPartition names; the reply goes by its key", why);
    if (refusal_is_of_the_place(why->kind) && !task->end->own_topic_refused && has_value(task, "kafka_replyTopic"))
        return leave(task, &task->end->own_topic_refused, "reply_topic_unusable",
                     "Kafka refuses the topic that kafka_replyTopic names; the reply goes to worker.replies_topic", why);
    return false;
}

/* True: the record has another form now. */
static bool replace(struct task *task, bool is_dead_letter, const struct refusal *why)
{
    if (!refusal_is_final(why->kind))
        return false;
    if (is_dead_letter) {
        bool shortens = why->kind == REFUSAL_TOO_LARGE && !task->end->value_omitted;
        task->end->value_omitted = task->end->value_omitted || shortens;
        return shortens;
    }
    if (refusal_is_of_the_place(why->kind) || task->end->reply_replaced)
        return false;
    task->end->reply_replaced = true;
    if (task->outcome != OUTCOME_DEAD) { /* a failed job keeps its error, and its dead letter is owed or acknowledged */
        error_set(&task->error, ERROR_PERMANENT, "reply_refused", "the reply can't be produced: %s", why->error.code);
        task->end->dead_letter_owed = true;
    }
    outcome_dead_small(task);
    return true;
}

enum refused_next refused_end(const struct service *service, struct task *task, bool is_dead_letter, bool in_company, const struct refusal *why)
{
    if (in_company && refusal_is_of_a_batch(why->kind))
        return REFUSED_APART;
    if (!is_dead_letter && leave_own_route(task, why))
        return REFUSED_AGAIN;
    METRIC_INC(publish_failures_total);
    log_error("publish_refused", F_STR("job", task->job.id), F_STR("record", is_dead_letter ? "dead_letter" : "reply"),
              F_INT("partition", task->record.partition), F_INT("offset", task->record.offset), F_STR("code", why->error.code),
              F_STR("error", why->error.message));
    if (replace(task, is_dead_letter, why))
        return REFUSED_AGAIN;
    if (is_dead_letter)
        (void)breakers_failed(service->breakers, DEPENDENCY_DEAD_TOPIC, task, &why->error);
    return REFUSED_LATER;
}
