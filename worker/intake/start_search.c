#include "intake/start_search.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "task/offset_codec.h"

#define STEP_MS 1000
#define HANGS_AFTER_MS 60000
#define HOUR_MS 3600000

void searches_add(struct searches *list, struct search search)
{
    list->items = xgrow(list->items, &list->capacity, list->count + 1, sizeof *list->items);
    list->items[list->count++] = search;
}

void search_finish(struct search *search)
{
    partition_unref(search->partition);
    free(search->metadata);
}

bool search_hangs(const struct search *search, int64_t now_ms)
{
    return search->err == RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT && now_ms - search->since_ms >= HANGS_AFTER_MS;
}

void searches_finish(struct searches *list)
{
    for (size_t i = 0; i < list->count; i++)
        search_finish(&list->items[i]);
    free(list->items);
    *list = (struct searches){0};
}

/* ---- what was committed ---- */

static void restore_set(struct search *search, int64_t log_end)
{
    struct partition *partition = search->partition;
    struct offset_runs runs;
    struct error why;
    int32_t epoch;
    if (offset_decode(search->metadata, search->metadata_size, search->offset, log_end, &runs, &epoch, &why) != STATUS_OK) {
        log_warn("completed_set_ignored", F_STR("topic", partition->topic), F_INT("partition", partition->id), F_INT("offset", search->offset),
                 F_STR("code", why.code), F_STR("error", why.message));
        return;
    }
    log_info("completed_set_restored", F_STR("topic", partition->topic), F_INT("partition", partition->id), F_INT("offset", search->offset),
             F_INT("done", offset_runs_total(&runs)));
    partition_restore(partition, &runs, epoch);
    offset_runs_finish(&runs);
}

/* Set and offset are of one commit. */
static void take_committed(const struct start_search *s, struct search *search, const rd_kafka_topic_partition_t *item)
{
    search->err = item->err;
    if (item->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    search->offset = item->offset;
    if (item->offset < 0) {
        search->offset = s->reset;
        search->wants = s->reset == RD_KAFKA_OFFSET_BEGINNING ? WANTS_BEGINNING : WANTS_NOTHING;
    } else if (item->metadata_size > 0) {
        search->metadata = xmemdup0(item->metadata, item->metadata_size);
        search->metadata_size = item->metadata_size;
        search->wants = WANTS_END;
    } else {
        search->wants = WANTS_NOTHING;
    }
}

/* rd_kafka_committed returns no offset as long as one of them is UNSTABLE. The admin API's request returns the others; but with it librdkafka (2.0.2)
 * aborts when the coordinator is found after the request has timed out. So it is sent only when the coordinator has just answered,
 * with a time-out that never comes, and one at a time. */
static bool coordinator_answers(struct start_search *s, const char *topic)
{
    rd_kafka_topic_partition_list_t *nobody_s = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(nobody_s, topic, INT32_MAX);
    rd_kafka_resp_err_t err = rd_kafka_committed(s->consumer, nobody_s, STEP_MS);
    rd_kafka_topic_partition_list_destroy(nobody_s);
    return err == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void ask_group(struct start_search *s, const rd_kafka_topic_partition_list_t *list)
{
    char why[256];
    rd_kafka_ListConsumerGroupOffsets_t *of_group = rd_kafka_ListConsumerGroupOffsets_new(s->group_id, list);
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(s->consumer, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS);
    (void)rd_kafka_AdminOptions_set_request_timeout(options, HOUR_MS, why, sizeof why);
    rd_kafka_error_destroy(rd_kafka_AdminOptions_set_require_stable_offsets(options, 1));
    rd_kafka_ListConsumerGroupOffsets(s->consumer, &of_group, 1, options, s->answers);
    s->group_asked = true;
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ListConsumerGroupOffsets_destroy(of_group);
}

/* To be destroyed by the caller; NULL: none yet. */
static rd_kafka_event_t *group_s_answer(struct start_search *s)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(s->answers, STEP_MS);
    if (event != NULL)
        s->group_asked = false;
    return event;
}

static const rd_kafka_topic_partition_list_t *partitions_of(const rd_kafka_event_t *event)
{
    size_t count = 0;
    const rd_kafka_group_result_t **groups =
        rd_kafka_ListConsumerGroupOffsets_result_groups(rd_kafka_event_ListConsumerGroupOffsets_result((rd_kafka_event_t *)(uintptr_t)event), &count);
    return count == 1 ? rd_kafka_group_result_partitions(groups[0]) : NULL;
}

/* requested: a late answer counts only for searches that were in the request: a later assignment of the partition may begin elsewhere. */
static void take_answer(struct start_search *s, const rd_kafka_topic_partition_list_t *answer, struct search *const *by_id, int32_t ids, bool requested)
{
    for (int i = 0; answer != NULL && i < answer->cnt; i++) {
        const rd_kafka_topic_partition_t *item = &answer->elems[i];
        struct search *search = item->partition >= 0 && item->partition < ids ? by_id[item->partition] : NULL;
        if (search != NULL && (!requested || search->in_request))
            take_committed(s, search, item);
    }
}

/* With this request each partition has an error of its own: UNSTABLE for those in an open transaction. */
static void ask_each(struct start_search *s, const rd_kafka_topic_partition_list_t *list, struct search *const *by_id, int32_t ids)
{
    if (!s->group_asked && coordinator_answers(s, list->elems[0].topic) && !s->give_up(s->arg)) {
        ask_group(s, list);
        for (int32_t id = 0; id < ids; id++)
            if (by_id[id] != NULL)
                by_id[id]->in_request = true;
    }
    rd_kafka_event_t *event = s->group_asked ? group_s_answer(s) : NULL;
    if (event == NULL)
        return;
    if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR)
        take_answer(s, partitions_of(event), by_id, ids, true);
    rd_kafka_event_destroy(event);
    for (size_t i = 0; i < s->open.count; i++)
        s->open.items[i].in_request = false;
}

static void ask_for(struct start_search *s, rd_kafka_topic_partition_list_t *list, struct search *const *by_id, int32_t ids)
{
    bool unstable = s->group_asked;
    for (int32_t id = 0; id < ids; id++)
        unstable = unstable || (by_id[id] != NULL && by_id[id]->err == RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT);
    rd_kafka_resp_err_t err = unstable ? RD_KAFKA_RESP_ERR__TIMED_OUT : rd_kafka_committed(s->consumer, list, STEP_MS);
    for (int32_t id = 0; id < ids && !unstable; id++)
        if (by_id[id] != NULL)
            by_id[id]->err = err;
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
        take_answer(s, list, by_id, ids, false);
    else if (err == RD_KAFKA_RESP_ERR__TIMED_OUT && !s->give_up(s->arg))
        ask_each(s, list, by_id, ids);
}

void start_search_committed(struct start_search *s)
{
    int32_t ids = 0;
    for (size_t i = 0; i < s->open.count; i++)
        if (s->open.items[i].partition->id >= ids)
            ids = s->open.items[i].partition->id + 1;
    AUTO_FREE struct search **by_id = xcalloc((size_t)ids + 1, sizeof *by_id);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)s->open.count + 1);
    for (size_t i = 0; i < s->open.count; i++) {
        struct search *search = &s->open.items[i];
        if (search->wants != WANTS_COMMITTED || by_id[search->partition->id] != NULL)
            continue;
        by_id[search->partition->id] = search;
        rd_kafka_topic_partition_list_add(list, search->partition->topic, search->partition->id);
    }
    if (list->cnt > 0)
        ask_for(s, list, by_id, ids);
    rd_kafka_topic_partition_list_destroy(list);
}

/* ---- where logs begin and end ---- */

static void take_of_log(struct search *search, const rd_kafka_topic_partition_t *item)
{
    search->err = item->err;
    if (item->err != RD_KAFKA_RESP_ERR_NO_ERROR || item->offset < 0)
        return;
    if (search->wants == WANTS_END)
        restore_set(search, item->offset);
    else
        search->offset = item->offset;
    search->wants = WANTS_NOTHING;
}

/* For all partitions that one broker leads. */
static void ask_leader(struct start_search *s, const rd_kafka_metadata_topic_t *topic, int32_t leader)
{
    AUTO_FREE struct search **of_leader = xcalloc(s->open.count + 1, sizeof *of_leader);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
    for (size_t i = 0; i < s->open.count; i++) {
        struct search *search = &s->open.items[i];
        int32_t id = search->partition->id;
        if ((search->wants != WANTS_END && search->wants != WANTS_BEGINNING) || id >= topic->partition_cnt || topic->partitions[id].leader != leader)
            continue;
        of_leader[list->cnt] = search;
        rd_kafka_topic_partition_list_add(list, search->partition->topic, id)->offset =
            search->wants == WANTS_END ? RD_KAFKA_OFFSET_END : RD_KAFKA_OFFSET_BEGINNING; /* also the protocol's timestamps for end and beginning */
    }
    rd_kafka_resp_err_t err = list->cnt > 0 ? rd_kafka_offsets_for_times(s->consumer, list, STEP_MS) : RD_KAFKA_RESP_ERR_NO_ERROR;
    for (int i = 0; i < list->cnt; i++)
        if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
            of_leader[i]->err = err;
        else
            take_of_log(of_leader[i], &list->elems[i]);
    rd_kafka_topic_partition_list_destroy(list);
}

static int by_id(const void *a, const void *b)
{
    int32_t left = ((const rd_kafka_metadata_partition_t *)a)->id, right = ((const rd_kafka_metadata_partition_t *)b)->id;
    return (left > right) - (left < right);
}

/* One broker after the other: librdkafka's call returns when all partitions are answered, and waits for those without a leader. */
static void ask_logs_of(struct start_search *s, const rd_kafka_metadata_t *metadata)
{
    rd_kafka_metadata_topic_t *topic = &metadata->topics[0];
    qsort(topic->partitions, (size_t)topic->partition_cnt, sizeof *topic->partitions, by_id);
    for (int i = 0; i < metadata->broker_cnt && !s->give_up(s->arg); i++)
        ask_leader(s, topic, metadata->brokers[i].id);
}

void start_search_logs(struct start_search *s)
{
    const char *name = NULL;
    for (size_t i = 0; i < s->open.count; i++)
        if (s->open.items[i].wants == WANTS_END || s->open.items[i].wants == WANTS_BEGINNING) {
            name = s->open.items[i].partition->topic;
            s->open.items[i].err = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE; /* until its leader is asked */
        }
    if (name == NULL || s->give_up(s->arg))
        return;
    const rd_kafka_metadata_t *metadata = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(s->consumer, name, NULL);
    if (topic == NULL)
        return;
    if (rd_kafka_metadata(s->consumer, 0, topic, &metadata, STEP_MS) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (metadata->topic_cnt == 1)
            ask_logs_of(s, metadata);
        rd_kafka_metadata_destroy(metadata);
    }
    rd_kafka_topic_destroy(topic);
}
