#include "intake/committer.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "completion/publisher.h"
#include "intake/head_state.h"
#include "telemetry/metrics.h"

#define ANSWER_MS 20
#define JOIN_MS 30000

struct committer {
    const struct service *service;
    rd_kafka_t *consumer;
    const struct assignments *assignments;
    atomic_bool *joining;
    rd_kafka_queue_t *answers;
    bool in_transactions;
    bool under_way;
    bool rests;
    int64_t next_ms;
    int64_t bound_ms;      /* no wait lasts longer */
    int64_t join_until_ms; /* from then on *joining is ignored */

    /* Of committer_last_word. */
    bool (*last_of)(const struct partition *partition);
    bool last_sent;
    int64_t last_until_ms;
    uint64_t last_commit; /* exactly-once: publisher_ask_commit's number */
};

struct committer *committer_create(const struct service *service, rd_kafka_t *consumer, const struct assignments *assignments, atomic_bool *joining)
{
    struct committer *committer = xcalloc(1, sizeof *committer);
    *committer = (struct committer){.service = service,
                                    .consumer = consumer,
                                    .assignments = assignments,
                                    .joining = joining,
                                    .bound_ms = INT64_MAX,
                                    .answers = rd_kafka_queue_new(consumer),
                                    .in_transactions = service->settings->worker.delivery == DELIVERY_EXACTLY_ONCE};
    return committer;
}

void committer_destroy(struct committer *committer)
{
    if (committer == NULL)
        return;
    rd_kafka_queue_destroy(committer->answers);
    free(committer);
}

void committer_bound(struct committer *committer, int64_t until_ms)
{
    committer->bound_ms = until_ms;
}

void committer_rest(struct committer *committer, bool rests)
{
    committer->rests = rests;
}

void committer_expect_join(struct committer *committer)
{
    atomic_store(committer->joining, true);
    committer->join_until_ms = clock_mono_ms() + JOIN_MS;
}

/* Logs the cause, too: the job that holds back the committed offset. */
static void note_full(struct committer *committer, struct partition *partition)
{
    bool full = atomic_load(&partition->set_is_full);
    if (full == partition->full_reported)
        return;
    partition->full_reported = full;
    METRIC_ADD(partitions_set_full, full ? 1 : -1);
    if (!full) {
        log_info("completed_set_fits", F_STR("topic", partition->topic), F_INT("partition", partition->id));
        return;
    }
    char job[128];
    int64_t head = partition_head(partition);
    enum head_state state = head_state_find(committer->service, partition, head, job, sizeof job);
    log_warn("completed_set_full", F_STR("topic", partition->topic), F_INT("partition", partition->id), F_INT("head_offset", head),
             F_STR("head_job", job), F_STR("head", head_state_name(state)),
             F_STR("hint", "too many jobs end out of order for a commit's metadata; nothing more is read here until the first of them end"));
}

static bool is_any(const struct partition *partition)
{
    (void)partition;
    return true;
}

static rd_kafka_topic_partition_list_t *committable(struct committer *committer, bool (*of)(const struct partition *partition))
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)committer->assignments->count + 1);
    for (size_t i = 0; i < committer->assignments->count; i++) {
        struct partition *partition = committer->assignments->partitions[i];
        if (!of(partition))
            continue;
        char *metadata = NULL;
        int64_t offset = partition_committable(partition, &metadata);
        note_full(committer, partition);
        if (offset < 0)
            continue;
        rd_kafka_topic_partition_t *item = rd_kafka_topic_partition_list_add(list, partition->topic, partition->id);
        item->offset = offset;
        item->metadata = metadata; /* the list's to free */
        item->metadata_size = strlen(metadata);
    }
    return list;
}

static void note_commit(struct committer *committer, rd_kafka_resp_err_t err, const rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; list != NULL && i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *item = &list->elems[i];
        struct partition *partition = assignments_find(committer->assignments, item->topic, item->partition);
        if (err == RD_KAFKA_RESP_ERR_NO_ERROR && item->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            METRIC_INC(commits_total);
            if (partition != NULL)
                partition_committed(partition, item->offset);
            log_debug("offsets_committed", F_STR("topic", item->topic), F_INT("partition", item->partition), F_INT("offset", item->offset),
                      F_INT("set_bytes", item->metadata_size));
        } else {
            METRIC_INC(commit_failures_total);
            log_warn("commit_refused", F_STR("topic", item->topic), F_INT("partition", item->partition), F_INT("offset", item->offset),
                     F_STR("error", rd_kafka_err2str(err ? err : item->err)));
            if (partition != NULL && (err ? err : item->err) == RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE)
                partition_metadata_refused(partition);
        }
    }
}

static void serve_commit_answers(struct committer *committer, int timeout_ms)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(committer->answers, timeout_ms);
    if (event == NULL)
        return;
    if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_OFFSET_COMMIT) {
        committer->under_way = false;
        note_commit(committer, rd_kafka_event_error(event), rd_kafka_event_topic_partition_list(event));
    }
    rd_kafka_event_destroy(event);
}

static void commit(struct committer *committer, bool (*of)(const struct partition *partition))
{
    rd_kafka_topic_partition_list_t *list = committable(committer, of);
    if (list->cnt > 0)
        committer->under_way =
            rd_kafka_commit_queue(committer->consumer, list, committer->answers, NULL, NULL) == RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_topic_partition_list_destroy(list);
}

/* With exactly-once the publisher commits: it gets the partitions with new offsets. */
static void offer(struct committer *committer, bool (*of)(const struct partition *partition))
{
    for (size_t i = 0; i < committer->assignments->count; i++) {
        struct partition *partition = committer->assignments->partitions[i];
        if (!of(partition))
            continue;
        note_full(committer, partition);
        if (partition_has_news(partition))
            publisher_offer(committer->service->publisher, partition);
    }
}

void committer_look(struct committer *committer)
{
    serve_commit_answers(committer, 0);
    int64_t now = clock_mono_ms();
    bool joining = atomic_load(committer->joining);
    if (!joining)
        committer->join_until_ms = INT64_MAX;
    if (committer->under_way || committer->rests || (joining && now < committer->join_until_ms) || now < committer->next_ms)
        return;
    committer->next_ms = now + committer->service->settings->worker.commit_interval_ms;
    if (committer->in_transactions) {
        offer(committer, is_any);
        return;
    }
    commit(committer, is_any);
}

/* librdkafka's own blocking commit has no other bound than the request's time-out, a minute. */
void committer_last_word(struct committer *committer, bool (*of)(const struct partition *partition))
{
    committer->last_of = of;
    committer->last_sent = false;
    committer->last_until_ms = clock_mono_ms() + REVOKE_COMMIT_MS;
    if (!committer->in_transactions)
        return;
    offer(committer, of);
    committer->last_commit = publisher_ask_commit(committer->service->publisher);
}

static int64_t last_until(const struct committer *committer)
{
    return committer->last_until_ms < committer->bound_ms ? committer->last_until_ms : committer->bound_ms;
}

static bool transaction_is_over(struct committer *committer)
{
    bool made;
    bool over = publisher_commit_is_over(committer->service->publisher, committer->last_commit, &made);
    if (!over && clock_mono_ms() < last_until(committer))
        return false;
    if (!made)
        log_warn("transaction_left_open", F_STR("hint", "what it holds of the partitions that go is aborted, and answered from the store by their new owner"));
    return true;
}

bool committer_last_word_is_said(struct committer *committer)
{
    if (committer->in_transactions)
        return transaction_is_over(committer);
    serve_commit_answers(committer, 0);
    if (!committer->under_way && !committer->last_sent) {
        commit(committer, committer->last_of);
        committer->last_sent = true;
    }
    return !committer->under_way || clock_mono_ms() >= last_until(committer);
}

void committer_now(struct committer *committer)
{
    committer_last_word(committer, is_any);
    while (!committer_last_word_is_said(committer))
        serve_commit_answers(committer, ANSWER_MS);
}
