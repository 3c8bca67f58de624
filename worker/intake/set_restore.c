#include "intake/set_restore.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "intake/start_search.h"
#include "kafka/kafka_conf.h"

#define PAUSE_MS 100
#define SOON_MS 1000 /* an answer that takes less isn't logged as a wait */
#define WAIT_LOG_MS 5000

struct set_restore {
    pthread_t thread;

    struct mutex lock; /* guards the four members below */
    struct cond wake;
    bool stopping;
    struct searches asked, found;

    /* Only the thread uses these. */
    struct start_search search;
    int64_t next_log_ms;
};

static bool is_stopping(void *arg)
{
    struct set_restore *restore = arg;
    mutex_lock(&restore->lock);
    bool stopping = restore->stopping;
    mutex_unlock(&restore->lock);
    return stopping;
}

/* ---- the thread ---- */

static void log_waiting(struct set_restore *restore)
{
    int64_t now = clock_mono_ms();
    if (restore->search.open.count == 0 || now < restore->next_log_ms)
        return;
    const struct search *oldest = &restore->search.open.items[0];
    for (size_t i = 1; i < restore->search.open.count; i++)
        if (restore->search.open.items[i].since_ms < oldest->since_ms)
            oldest = &restore->search.open.items[i];
    if (now - oldest->since_ms < SOON_MS)
        return;
    restore->next_log_ms = now + WAIT_LOG_MS;
    bool hangs = search_hangs(oldest, now);
    log_at(hangs ? LOG_WARN : LOG_INFO, "grants_wait", F_INT("partitions", restore->search.open.count), F_STR("topic", oldest->partition->topic),
           F_INT("partition", oldest->partition->id), F_INT("waited_ms", now - oldest->since_ms), F_STR("code", rd_kafka_err2name(oldest->err)),
           F_STR("hint", hangs ? "its offset is in a transaction that doesn't end: if that is older than kafka.transaction.timeout.ms, it hangs in the broker; "
                                 "kafka-transactions.sh find-hanging shows it, abort ends it"
                               : "it isn't read before it is known where it begins; the others are"));
}

static void forget(struct set_restore *restore, bool (*is)(const struct search *search), struct searches *heir)
{
    size_t left = 0;
    for (size_t i = 0; i < restore->search.open.count; i++) {
        struct search *search = &restore->search.open.items[i];
        if (!is(search))
            restore->search.open.items[left++] = *search;
        else if (heir != NULL)
            searches_add(heir, *search);
        else
            search_finish(search);
    }
    restore->search.open.count = left;
}

static bool is_revoked(const struct search *search)
{
    return atomic_load(&search->partition->revoked);
}

static bool is_found(const struct search *search)
{
    return search->wants == WANTS_NOTHING;
}

/* Takes new requests; sleeps while there is nothing to do. False: the thread ends. */
static bool look(struct set_restore *restore)
{
    mutex_lock(&restore->lock);
    forget(restore, is_found, &restore->found);
    int64_t again_ms = restore->search.open.count > 0 ? clock_mono_ms() + PAUSE_MS : INT64_MAX;
    while (!restore->stopping && restore->asked.count == 0)
        if (again_ms == INT64_MAX)
            cond_wait(&restore->wake, &restore->lock);
        else if (!cond_wait_until(&restore->wake, &restore->lock, again_ms))
            break;
    for (size_t i = 0; i < restore->asked.count; i++)
        searches_add(&restore->search.open, restore->asked.items[i]);
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
        start_search_committed(&restore->search);
        start_search_logs(&restore->search);
        log_waiting(restore);
    }
    return NULL;
}

/* ---- the intake ---- */

static void ask(struct set_restore *restore, struct partition *partition, enum wants wants)
{
    mutex_lock(&restore->lock);
    searches_add(&restore->asked, (struct search){.partition = partition_ref(partition),
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

bool set_restore_take(struct set_restore *restore, struct assignment_start *ret)
{
    mutex_lock(&restore->lock);
    bool taken = restore->found.count > 0;
    if (taken) {
        struct search *search = &restore->found.items[--restore->found.count];
        *ret = (struct assignment_start){.partition = search->partition, .offset = search->offset, .of_log = search->of_log};
        free(search->metadata);
    }
    mutex_unlock(&restore->lock);
    return taken;
}

struct set_restore *set_restore_create(rd_kafka_t *consumer, const struct settings *settings)
{
    struct set_restore *restore = xcalloc(1, sizeof *restore);
    restore->search = (struct start_search){.consumer = consumer,
                                            .group_id = settings->kafka.group_id,
                                            .reset = kafka_conf_offset_reset(settings),
                                            .give_up = is_stopping,
                                            .arg = restore,
                                            .answers = rd_kafka_queue_new(consumer)};
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
    searches_finish(&restore->search.open);
    rd_kafka_queue_destroy(restore->search.answers);
    cond_destroy(&restore->wake);
    mutex_destroy(&restore->lock);
    free(restore);
}
