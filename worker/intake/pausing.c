#include "intake/pausing.h"

#include <stdatomic.h>
#include <stdint.h>

#include "breakers/breakers.h"
#include "dispatch/dispatcher.h"
#include "telemetry/held_back.h"
#include "telemetry/metrics.h"

#define FULL_MS 5  /* the next job that ends makes room in the buffer */
#define CLOSED_MS 20

/* One call for many partitions: each call waits for librdkafka's thread. */
struct changes {
    rd_kafka_topic_partition_list_t *pause, *resume, *seek; /* NULL: none */
};

static rd_kafka_topic_partition_t *add(rd_kafka_topic_partition_list_t **list, const struct partition *partition)
{
    if (*list == NULL)
        *list = rd_kafka_topic_partition_list_new(16);
    return rd_kafka_topic_partition_list_add(*list, partition->topic, partition->id);
}

/* Seeks to the present position: a resume alone doesn't wake librdkafka's thread, which sleeps for up to a second while all of a broker's
 * partitions are paused; a seek does. From 2.1 on only a seek with the record's leader epoch does, because librdkafka then
 * validates it with the broker; without it, the position would lose its own epoch. */
static void seek_on(struct changes *changes, const struct partition *partition)
{
    bool wakes = partition->next >= 0;
#ifdef CHAT_LEADER_EPOCHS
    wakes = wakes && partition->next_epoch >= 0;
#endif
    if (!wakes)
        return;
    rd_kafka_topic_partition_t *item = add(&changes->seek, partition);
    item->offset = partition->next;
#ifdef CHAT_LEADER_EPOCHS
    rd_kafka_topic_partition_set_leader_epoch(item, partition->next_epoch);
#endif
}

static void change(struct changes *changes, struct partition *partition, bool paused)
{
    if (paused == partition->paused)
        return;
    partition->paused = paused;
    (void)add(paused ? &changes->pause : &changes->resume, partition);
    if (!paused)
        seek_on(changes, partition);
}

/* A partition that librdkafka doesn't know is being revoked and isn't paused. Only partitions that we paused are resumed: resuming another
 * may rewind it (librdkafka before 2.4.0). */
static void make(rd_kafka_t *consumer, struct changes *changes)
{
    if (changes->pause != NULL) {
        (void)rd_kafka_pause_partitions(consumer, changes->pause);
        rd_kafka_topic_partition_list_destroy(changes->pause);
    }
    if (changes->resume != NULL) {
        (void)rd_kafka_resume_partitions(consumer, changes->resume);
        rd_kafka_topic_partition_list_destroy(changes->resume);
    }
    if (changes->seek != NULL) {
        rd_kafka_error_destroy(rd_kafka_seek_partitions(consumer, changes->seek, 0));
        rd_kafka_topic_partition_list_destroy(changes->seek);
    }
}

void pausing_resume(rd_kafka_t *consumer, const struct assignments *assignments, bool (*of)(const struct partition *partition))
{
    struct changes changes = {0};
    for (size_t i = 0; i < assignments->count; i++) {
        struct partition *partition = assignments->partitions[i];
        if (!partition->paused || !of(partition))
            continue;
        partition->paused = false;
        (void)add(&changes.resume, partition);
    }
    make(consumer, &changes);
}

static bool is_full(const struct service *service, int64_t alive)
{
    const struct settings *settings = service->settings;
    return alive >= settings_jobs_at_once(settings) + settings->worker.buffered_jobs_max || metric_get(METRIC_jobs_alive_bytes) >= settings->worker.buffered_bytes_max;
}

/* Counts jobs alive, from the record's arrival to the reply's acknowledgement: such a count can't leak. */
int pausing_hold_ms(const struct service *service, bool held)
{
    int64_t alive = metric_get(METRIC_jobs_alive);
    if (held || breakers_intake(service->breakers, alive) == INTAKE_CLOSED)
        return CLOSED_MS;
    if (alive == 0) /* a job larger than the whole buffer is let in alone */
        return 0;
    return is_full(service, alive) ? FULL_MS : 0;
}

/* Twice the threads, so that none waits while more is fetched; less where the buffer doesn't hold as many. */
static bool threads_want(const struct pausing_view *view)
{
    int64_t enough = 2 * view->threads, most = view->threads + view->buffered_max / 2;
    return view->to_ask <= (enough < most ? enough : most);
}

bool pausing_wants(const struct pausing_view *view)
{
    int64_t share = view->buffered_max / 2 - view->behind_all;
    if (share < PAUSING_SHARE_LEAST)
        share = PAUSING_SHARE_LEAST;
    if (view->paused)
        return view->behind > share / 2;
    return threads_want(view) && view->behind > share;
}

/* Is no partition read for lack of room? */
static bool none_has_room(const struct service *service)
{
    int64_t alive = metric_get(METRIC_jobs_alive);
    return dispatcher_waits_for_ends(service->dispatcher) || (alive > 0 && is_full(service, alive));
}

static bool wants_pause(struct pausing_view *view, const struct partition *partition)
{
    view->behind = atomic_load(&partition->behind);
    view->paused = partition->paused;
    return partition->set_is_full || pausing_wants(view);
}

void pausing_look(const struct service *service, rd_kafka_t *consumer, struct prefetch *prefetch, const struct assignments *assignments, bool held_back)
{
    int64_t paused = 0, sets_full = 0, shares_used_up = 0;
    struct changes changes = {0};
    struct dispatcher_load load = dispatcher_load(service->dispatcher);
    struct pausing_view view = {.behind_all = load.in_hand - load.to_ask,
                                .to_ask = load.to_ask,
                                .threads = settings_jobs_at_once(service->settings),
                                .buffered_max = service->settings->worker.buffered_jobs_max};
    for (size_t i = 0; i < assignments->count; i++) {
        struct partition *partition = assignments->partitions[i];
        if (partition->begun)
            change(&changes, partition, wants_pause(&view, partition));
        paused += partition->paused;
        sets_full += partition->set_is_full;
        shares_used_up += partition->paused && !partition->set_is_full;
    }
    if (changes.pause != NULL)
        prefetch_note_purged(prefetch);
    make(consumer, &changes);
    METRIC_SET(partitions_paused, held_back ? (int64_t)assignments->count : paused);
    held_back_set(HELD_BACK_COMPLETED_SET, HELD_BACK_NO_PROVIDER, sets_full);
    held_back_set(HELD_BACK_BUFFER, HELD_BACK_NO_PROVIDER, none_has_room(service) ? (int64_t)assignments->count : shares_used_up);
}
