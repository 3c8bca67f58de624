#include "intake/group_watch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "intake/group_nudge.h"
#include "intake/open_transactions.h"
#include "intake/unowned.h"
#include "telemetry/watchdog.h"

#define ANSWER_MS 2000
#define OPEN_INTERVALS 3 /* a transaction that is open for longer is logged */
#define TURN_INTERVALS 2 /* for each member to nudge a group that has partitions without an owner */

struct group_watch {
    rd_kafka_t *consumer;
    const struct settings *settings;
    const char *bootstrap;
    int64_t interval_ms;
    pthread_t thread;
    struct open_transactions *open; /* this and unowned: the thread's */
    struct unowned_watch *unowned;

    struct mutex lock; /* guards the rest */
    struct cond wake;
    bool stopping;
    uint64_t number;
    rd_kafka_topic_partition_list_t *owned;

    /* Atomic, since the watchdog of this thread reads them and must not wait for its lock. clock_mono_ms. */
    atomic_int_fast64_t asked_ms;         /* when the request under way was sent; 0: none is */
    atomic_int_fast64_t answers_since_ms; /* without a failure since; -1: the last request failed */
};

/* ---- decoding ---- */

struct reader {
    const unsigned char *at;
    size_t left;
    bool failed;
};

static uint32_t number(struct reader *reader, size_t bytes)
{
    uint32_t value = 0;
    if (reader->failed || reader->left < bytes) {
        reader->failed = true;
        return 0;
    }
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | reader->at[i];
    reader->at += bytes;
    reader->left -= bytes;
    return value;
}

static void topic(struct reader *reader, rd_kafka_topic_partition_list_t *list)
{
    char name[256];
    size_t length = number(reader, 2);
    if (reader->failed || length >= sizeof name || length > reader->left) {
        reader->failed = true;
        return;
    }
    memcpy(name, reader->at, length);
    name[length] = '\0';
    reader->at += length;
    reader->left -= length;
    for (uint32_t count = number(reader, 4); count > 0 && !reader->failed; count--) {
        uint32_t id = number(reader, 4);
        if (!reader->failed)
            rd_kafka_topic_partition_list_add(list, name, (int32_t)id);
    }
}

rd_kafka_topic_partition_list_t *group_assignment_decode(const void *bytes, size_t size)
{
    struct reader reader = {.at = bytes, .left = size};
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(0);
    number(&reader, 2); /* later versions append fields */
    for (uint32_t count = number(&reader, 4); count > 0 && !reader.failed; count--)
        topic(&reader, list);
    if (!reader.failed)
        return list;
    rd_kafka_topic_partition_list_destroy(list);
    return NULL;
}

/* ---- asking ---- */

static rd_kafka_topic_partition_list_t *find_us(struct group_watch *watch, const struct rd_kafka_group_list *groups)
{
    rd_kafka_topic_partition_list_t *owned = NULL;
    char *self = rd_kafka_memberid(watch->consumer);
    for (int g = 0; self != NULL && owned == NULL && g < groups->group_cnt; g++)
        for (int m = 0; owned == NULL && m < groups->groups[g].member_cnt; m++) {
            const struct rd_kafka_group_member_info *member = &groups->groups[g].members[m];
            if (strcmp(member->member_id, self) == 0)
                owned = group_assignment_decode(member->member_assignment, member->member_assignment_size > 0 ? (size_t)member->member_assignment_size : 0);
        }
    if (self != NULL)
        rd_kafka_mem_free(watch->consumer, self);
    return owned;
}

/* librdkafka keeps to a call's time-out only where the request can't be sent (watchdog.c). */
static bool is_silent(const struct group_watch *watch, int64_t now_ms)
{
    int64_t asked_ms = atomic_load(&watch->asked_ms);
    return asked_ms != 0 && now_ms - asked_ms > 2 * ANSWER_MS;
}

static void note_answer(struct group_watch *watch, bool answered)
{
    int64_t now_ms = clock_mono_ms();
    if (!answered)
        atomic_store(&watch->answers_since_ms, -1);
    else if (atomic_load(&watch->answers_since_ms) < 0 || is_silent(watch, now_ms))
        atomic_store(&watch->answers_since_ms, now_ms);
    atomic_store(&watch->asked_ms, 0);
}

/* While the group is nudged. */
static bool goes_on(void *arg)
{
    struct group_watch *watch = arg;
    mutex_lock(&watch->lock);
    bool stopping = watch->stopping;
    mutex_unlock(&watch->lock);
    watchdog_feed(WATCHED_GROUP);
    return !stopping;
}

static void note_owned(struct group_watch *watch, rd_kafka_topic_partition_list_t *owned)
{
    mutex_lock(&watch->lock);
    if (watch->owned != NULL)
        rd_kafka_topic_partition_list_destroy(watch->owned);
    watch->owned = owned;
    watch->number++;
    mutex_unlock(&watch->lock);
}

/* Nobody asks meanwhile, for a minute and more: what was said before says nothing of then. */
static void nudge(struct group_watch *watch)
{
    note_answer(watch, false);
    note_owned(watch, NULL);
    (void)group_nudge(watch->settings, watch->bootstrap, goes_on, watch);
}

static void ask(struct group_watch *watch)
{
    const struct rd_kafka_group_list *groups = NULL;
    atomic_store(&watch->asked_ms, clock_mono_ms());
    bool answered = rd_kafka_list_groups(watch->consumer, watch->settings->kafka.group_id, &groups, ANSWER_MS) == RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_topic_partition_list_t *owned = answered ? find_us(watch, groups) : NULL;
    note_answer(watch, answered);
    note_owned(watch, owned);
    watchdog_feed(WATCHED_GROUP);
    bool due = answered && unowned_watch_look(watch->unowned, groups);
    if (groups != NULL)
        rd_kafka_group_list_destroy(groups);
    watchdog_feed(WATCHED_GROUP);
    if (due)
        nudge(watch);
    if (answered)
        open_transactions_look(watch->open);
}

static void *group_main(void *arg)
{
    struct group_watch *watch = arg;
    pthread_setname_np(pthread_self(), "chat-group");
    for (;;) {
        int64_t until = clock_mono_ms() + watch->interval_ms;
        mutex_lock(&watch->lock);
        watchdog_rest(WATCHED_GROUP);
        while (!watch->stopping && cond_wait_until(&watch->wake, &watch->lock, until))
            ;
        watchdog_feed(WATCHED_GROUP);
        bool stopping = watch->stopping;
        mutex_unlock(&watch->lock);
        if (stopping)
            break;
        ask(watch);
    }
    watchdog_rest(WATCHED_GROUP);
    return NULL;
}

static void finish(struct group_watch *watch)
{
    if (watch->owned != NULL)
        rd_kafka_topic_partition_list_destroy(watch->owned);
    open_transactions_destroy(watch->open);
    unowned_watch_destroy(watch->unowned);
    cond_destroy(&watch->wake);
    mutex_destroy(&watch->lock);
    free(watch);
}

struct group_watch *group_watch_create(const struct settings *settings, const char *bootstrap, rd_kafka_t *consumer, int64_t interval_ms)
{
    struct group_watch *watch = xcalloc(1, sizeof *watch);
    watch->consumer = consumer;
    watch->settings = settings;
    watch->bootstrap = bootstrap;
    watch->interval_ms = interval_ms;
    atomic_init(&watch->answers_since_ms, -1);
    watch->open = open_transactions_create(consumer, OPEN_INTERVALS * interval_ms);
    watch->unowned = unowned_watch_create(settings, consumer, TURN_INTERVALS * interval_ms);
    mutex_init(&watch->lock);
    cond_init(&watch->wake);
    if (pthread_create(&watch->thread, NULL, group_main, watch) == 0)
        return watch;
    finish(watch);
    return NULL;
}

void group_watch_destroy(struct group_watch *watch)
{
    if (watch == NULL)
        return;
    mutex_lock(&watch->lock);
    watch->stopping = true;
    cond_signal(&watch->wake);
    mutex_unlock(&watch->lock);
    pthread_join(watch->thread, NULL);
    finish(watch);
}

rd_kafka_topic_partition_list_t *group_watch_owned(struct group_watch *watch, uint64_t *ret_number)
{
    *ret_number = 0;
    if (watch == NULL)
        return NULL;
    mutex_lock(&watch->lock);
    *ret_number = watch->number;
    rd_kafka_topic_partition_list_t *owned = watch->owned != NULL ? rd_kafka_topic_partition_list_copy(watch->owned) : NULL;
    mutex_unlock(&watch->lock);
    return owned;
}

int64_t group_watch_answers_ms(struct group_watch *watch, int64_t now_ms)
{
    if (watch == NULL || is_silent(watch, now_ms))
        return 0;
    int64_t since_ms = atomic_load(&watch->answers_since_ms);
    return since_ms < 0 ? 0 : now_ms - since_ms;
}
