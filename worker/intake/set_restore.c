#include "intake/set_restore.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mutex.h"
#include "intake/kafka_conf.h"
#include "intake/offset_codec.h"

#define STEP_MS 1000
#define HOUR_MS 3600000
#define PAUSE_MS 100
#define WAIT_LOG_MS 5000
#define HINT_AFTER_MS 60000 /* a transaction's time-out has passed, unless somebody chose a long one */

enum wants { WANTS_COMMITTED, WANTS_END, WANTS_BEGINNING, WANTS_NOTHING };

struct search {
    struct partition *partition; /* a reference */
    enum wants wants;
    bool of_log;
    int64_t since_ms;
    int64_t offset;
    char *metadata; /* WANTS_END: of the commit, to be read once it is known where the log ends */
    size_t metadata_size;
    rd_kafka_resp_err_t err; /* why it isn't known yet */
    bool in_request;         /* the one that the group hasn't answered yet asks for it */
};

struct searches {
    struct search *items;
    size_t count, capacity;
};

struct set_restore {
    rd_kafka_t *consumer;
    const char *group_id;
    int64_t reset; /* RD_KAFKA_OFFSET_BEGINNING, _END or _INVALID: nowhere */
    pthread_t thread;

    struct mutex lock; /* guards the next four */
    struct cond wake;
    bool stopping;
    struct searches asked, found;

    /* The thread's. */
    struct searches open;
    rd_kafka_queue_t *answers;
    bool group_asked; /* and no answer came yet */
    int64_t next_log_ms;
};

static void add(struct searches *list, struct search search)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 16;
        list->items = xrealloc(list->items, list->capacity * sizeof *list->items);
    }
    list->items[list->count++] = search;
}

static void search_finish(struct search *search)
{
    partition_unref(search->partition);
    free(search->metadata);
}

static void searches_finish(struct searches *list)
{
    for (size_t i = 0; i < list->count; i++)
        search_finish(&list->items[i]);
    free(list->items);
    *list = (struct searches){0};
}

static bool is_stopping(struct set_restore *restore)
{
    mutex_lock(&restore->lock);
    bool stopping = restore->stopping;
    mutex_unlock(&restore->lock);
    return stopping;
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
static void take_committed(const struct set_restore *restore, struct search *search, const rd_kafka_topic_partition_t *item)
{
    search->err = item->err;
    if (item->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    search->offset = item->offset;
    if (item->offset < 0) {
        search->offset = restore->reset;
        search->wants = restore->reset == RD_KAFKA_OFFSET_BEGINNING ? WANTS_BEGINNING : WANTS_NOTHING;
    } else if (item->metadata_size > 0) {
        search->metadata = xmemdup0(item->metadata, item->metadata_size);
        search->metadata_size = item->metadata_size;
        search->wants = WANTS_END;
    } else {
        search->wants = WANTS_NOTHING;
    }
}

/* rd_kafka_committed says nothing of any as long as one of them is UNSTABLE. The administrators' request does; but with it librdkafka (2.0.2)
 * aborts when the coordinator is found after the request has timed out. So it is made only when the coordinator has just answered,
 * with a time-out that never comes, and one at a time. */
static bool coordinator_answers(struct set_restore *restore, const char *topic)
{
    rd_kafka_topic_partition_list_t *nobody_s = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(nobody_s, topic, INT32_MAX);
    rd_kafka_resp_err_t err = rd_kafka_committed(restore->consumer, nobody_s, STEP_MS);
    rd_kafka_topic_partition_list_destroy(nobody_s);
    return err == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void ask_group(struct set_restore *restore, const rd_kafka_topic_partition_list_t *list)
{
    char why[256];
    rd_kafka_ListConsumerGroupOffsets_t *of_group = rd_kafka_ListConsumerGroupOffsets_new(restore->group_id, list);
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(restore->consumer, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS);
    (void)rd_kafka_AdminOptions_set_request_timeout(options, HOUR_MS, why, sizeof why);
    rd_kafka_error_destroy(rd_kafka_AdminOptions_set_require_stable_offsets(options, 1));
    rd_kafka_ListConsumerGroupOffsets(restore->consumer, &of_group, 1, options, restore->answers);
    restore->group_asked = true;
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ListConsumerGroupOffsets_destroy(of_group);
}

/* The caller's to destroy; NULL: none yet. */
static rd_kafka_event_t *group_s_answer(struct set_restore *restore)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(restore->answers, STEP_MS);
    if (event != NULL)
        restore->group_asked = false;
    return event;
}

static const rd_kafka_topic_partition_list_t *partitions_of(const rd_kafka_event_t *event)
{
    size_t count = 0;
    const rd_kafka_group_result_t **groups =
        rd_kafka_ListConsumerGroupOffsets_result_groups(rd_kafka_event_ListConsumerGroupOffsets_result((rd_kafka_event_t *)(uintptr_t)event), &count);
    return count == 1 ? rd_kafka_group_result_partitions(groups[0]) : NULL;
}

/* requested: an answer that took its time counts only for whom it was asked: another grant of the partition may begin elsewhere. */
static void take_answer(struct set_restore *restore, const rd_kafka_topic_partition_list_t *answer, struct search *const *by_id, int32_t ids, bool requested)
{
    for (int i = 0; answer != NULL && i < answer->cnt; i++) {
        const rd_kafka_topic_partition_t *item = &answer->elems[i];
        struct search *search = item->partition >= 0 && item->partition < ids ? by_id[item->partition] : NULL;
        if (search != NULL && (!requested || search->in_request))
            take_committed(restore, search, item);
    }
}

/* Those that are in an open transaction say UNSTABLE, each for itself. */
static void ask_each(struct set_restore *restore, const rd_kafka_topic_partition_list_t *list, struct search *const *by_id, int32_t ids)
{
    if (!restore->group_asked && coordinator_answers(restore, list->elems[0].topic)) {
        ask_group(restore, list);
        for (int32_t id = 0; id < ids; id++)
            if (by_id[id] != NULL)
                by_id[id]->in_request = true;
    }
    rd_kafka_event_t *event = restore->group_asked ? group_s_answer(restore) : NULL;
    if (event == NULL)
        return;
    if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR)
        take_answer(restore, partitions_of(event), by_id, ids, true);
    rd_kafka_event_destroy(event);
    for (size_t i = 0; i < restore->open.count; i++)
        restore->open.items[i].in_request = false;
}

static void ask_for(struct set_restore *restore, rd_kafka_topic_partition_list_t *list, struct search *const *by_id, int32_t ids)
{
    bool unstable = restore->group_asked;
    for (int32_t id = 0; id < ids; id++)
        unstable = unstable || (by_id[id] != NULL && by_id[id]->err == RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT);
    rd_kafka_resp_err_t err = unstable ? RD_KAFKA_RESP_ERR__TIMED_OUT : rd_kafka_committed(restore->consumer, list, STEP_MS);
    for (int32_t id = 0; id < ids && !unstable; id++)
        if (by_id[id] != NULL)
            by_id[id]->err = err;
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
        take_answer(restore, list, by_id, ids, false);
    else if (err == RD_KAFKA_RESP_ERR__TIMED_OUT)
        ask_each(restore, list, by_id, ids);
}

static void ask_committed(struct set_restore *restore)
{
    int32_t ids = 0;
    for (size_t i = 0; i < restore->open.count; i++)
        if (restore->open.items[i].partition->id >= ids)
            ids = restore->open.items[i].partition->id + 1;
    AUTO_FREE struct search **by_id = xcalloc((size_t)ids + 1, sizeof *by_id);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)restore->open.count + 1);
    for (size_t i = 0; i < restore->open.count; i++) {
        struct search *search = &restore->open.items[i];
        if (search->wants != WANTS_COMMITTED || by_id[search->partition->id] != NULL)
            continue;
        by_id[search->partition->id] = search;
        rd_kafka_topic_partition_list_add(list, search->partition->topic, search->partition->id);
    }
    if (list->cnt > 0)
        ask_for(restore, list, by_id, ids);
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

/* Of all that one broker leads. */
static void ask_leader(struct set_restore *restore, const rd_kafka_metadata_topic_t *topic, int32_t leader)
{
    AUTO_FREE struct search **of_leader = xcalloc(restore->open.count + 1, sizeof *of_leader);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
    for (size_t i = 0; i < restore->open.count; i++) {
        struct search *search = &restore->open.items[i];
        int32_t id = search->partition->id;
        if ((search->wants != WANTS_END && search->wants != WANTS_BEGINNING) || id >= topic->partition_cnt || topic->partitions[id].leader != leader)
            continue;
        of_leader[list->cnt] = search;
        rd_kafka_topic_partition_list_add(list, search->partition->topic, id)->offset =
            search->wants == WANTS_END ? RD_KAFKA_OFFSET_END : RD_KAFKA_OFFSET_BEGINNING; /* as times, to the broker, too */
    }
    rd_kafka_resp_err_t err = list->cnt > 0 ? rd_kafka_offsets_for_times(restore->consumer, list, STEP_MS) : RD_KAFKA_RESP_ERR_NO_ERROR;
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

/* A broker after the other: librdkafka's call has one answer for all it is asked of, and waits for each that has no leader. */
static void ask_logs_of(struct set_restore *restore, const rd_kafka_metadata_t *metadata)
{
    rd_kafka_metadata_topic_t *topic = &metadata->topics[0];
    qsort(topic->partitions, (size_t)topic->partition_cnt, sizeof *topic->partitions, by_id);
    for (int i = 0; i < metadata->broker_cnt && !is_stopping(restore); i++)
        ask_leader(restore, topic, metadata->brokers[i].id);
}

static void ask_logs(struct set_restore *restore)
{
    const char *name = NULL;
    for (size_t i = 0; i < restore->open.count; i++)
        if (restore->open.items[i].wants == WANTS_END || restore->open.items[i].wants == WANTS_BEGINNING) {
            name = restore->open.items[i].partition->topic;
            restore->open.items[i].err = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE; /* unless one is asked */
        }
    if (name == NULL)
        return;
    const rd_kafka_metadata_t *metadata = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(restore->consumer, name, NULL);
    if (topic == NULL)
        return;
    if (rd_kafka_metadata(restore->consumer, 0, topic, &metadata, STEP_MS) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (metadata->topic_cnt == 1)
            ask_logs_of(restore, metadata);
        rd_kafka_metadata_destroy(metadata);
    }
    rd_kafka_topic_destroy(topic);
}

/* ---- the thread ---- */

static void log_waiting(struct set_restore *restore)
{
    int64_t now = clock_mono_ms();
    if (restore->open.count == 0 || now < restore->next_log_ms)
        return;
    const struct search *oldest = &restore->open.items[0];
    for (size_t i = 1; i < restore->open.count; i++)
        if (restore->open.items[i].since_ms < oldest->since_ms)
            oldest = &restore->open.items[i];
    if (now - oldest->since_ms < PAUSE_MS)
        return;
    restore->next_log_ms = now + WAIT_LOG_MS;
    bool hangs = oldest->err == RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT && now - oldest->since_ms >= HINT_AFTER_MS;
    log_at(hangs ? LOG_WARN : LOG_INFO, "grants_wait", F_INT("partitions", restore->open.count), F_STR("topic", oldest->partition->topic),
           F_INT("partition", oldest->partition->id), F_INT("waited_ms", now - oldest->since_ms), F_STR("code", rd_kafka_err2name(oldest->err)),
           F_STR("hint", hangs ? "its offset is in a transaction that doesn't end: if that is older than kafka.transaction.timeout.ms, it hangs in the broker; "
                                 "kafka-transactions.sh find-hanging shows it, abort ends it"
                               : "it isn't read before it is known where it begins; the others are"));
}

static void forget(struct set_restore *restore, bool (*is)(const struct search *search), struct searches *heir)
{
    size_t left = 0;
    for (size_t i = 0; i < restore->open.count; i++) {
        struct search *search = &restore->open.items[i];
        if (!is(search))
            restore->open.items[left++] = *search;
        else if (heir != NULL)
            add(heir, *search);
        else
            search_finish(search);
    }
    restore->open.count = left;
}

static bool is_revoked(const struct search *search)
{
    return atomic_load(&search->partition->revoked);
}

static bool is_found(const struct search *search)
{
    return search->wants == WANTS_NOTHING;
}

/* Takes what came; with nothing to do sleeps until something does. False: the thread ends. */
static bool look(struct set_restore *restore)
{
    mutex_lock(&restore->lock);
    forget(restore, is_found, &restore->found);
    int64_t again_ms = restore->open.count > 0 ? clock_mono_ms() + PAUSE_MS : INT64_MAX;
    while (!restore->stopping && restore->asked.count == 0)
        if (again_ms == INT64_MAX)
            cond_wait(&restore->wake, &restore->lock);
        else if (!cond_wait_until(&restore->wake, &restore->lock, again_ms))
            break;
    for (size_t i = 0; i < restore->asked.count; i++)
        add(&restore->open, restore->asked.items[i]);
    restore->asked.count = 0;
    bool go_on = !restore->stopping;
    mutex_unlock(&restore->lock);
    return go_on;
}

static void *restore_main(void *arg)
{
    struct set_restore *restore = arg;
    pthread_setname_np(pthread_self(), "chat-restore");
    while (look(restore)) {
        forget(restore, is_revoked, NULL);
        ask_committed(restore);
        ask_logs(restore);
        log_waiting(restore);
    }
    return NULL;
}

/* ---- the intake ---- */

static void ask(struct set_restore *restore, struct partition *partition, enum wants wants)
{
    mutex_lock(&restore->lock);
    add(&restore->asked, (struct search){.partition = partition_ref(partition),
                                         .wants = wants,
                                         .of_log = wants != WANTS_COMMITTED,
                                         .since_ms = clock_mono_ms()});
    cond_signal(&restore->wake);
    mutex_unlock(&restore->lock);
}

void set_restore_ask(struct set_restore *restore, struct partition *partition)
{
    ask(restore, partition, WANTS_COMMITTED);
}

void set_restore_ask_log(struct set_restore *restore, struct partition *partition)
{
    ask(restore, partition, WANTS_BEGINNING);
}

bool set_restore_take(struct set_restore *restore, struct grant_start *ret)
{
    mutex_lock(&restore->lock);
    bool taken = restore->found.count > 0;
    if (taken) {
        struct search *search = &restore->found.items[--restore->found.count];
        *ret = (struct grant_start){.partition = search->partition, .offset = search->offset, .of_log = search->of_log};
        free(search->metadata);
    }
    mutex_unlock(&restore->lock);
    return taken;
}

struct set_restore *set_restore_create(rd_kafka_t *consumer, const struct settings *settings)
{
    struct set_restore *restore = xcalloc(1, sizeof *restore);
    restore->consumer = consumer;
    restore->group_id = settings->kafka.group_id;
    restore->reset = kafka_conf_offset_reset(settings);
    restore->answers = rd_kafka_queue_new(consumer);
    mutex_init(&restore->lock);
    cond_init(&restore->wake);
    if (pthread_create(&restore->thread, NULL, restore_main, restore) == 0)
        return restore;
    set_restore_destroy(restore);
    return NULL;
}

void set_restore_stop(struct set_restore *restore)
{
    mutex_lock(&restore->lock);
    restore->stopping = true;
    cond_signal(&restore->wake);
    mutex_unlock(&restore->lock);
    pthread_join(restore->thread, NULL);
}

void set_restore_destroy(struct set_restore *restore)
{
    if (restore == NULL)
        return;
    searches_finish(&restore->asked);
    searches_finish(&restore->found);
    searches_finish(&restore->open);
    rd_kafka_queue_destroy(restore->answers);
    cond_destroy(&restore->wake);
    mutex_destroy(&restore->lock);
    free(restore);
}
