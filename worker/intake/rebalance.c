#include "intake/rebalance.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "completion/completion.h"
#include "completion/publisher.h"
#include "dispatch/dispatcher_waiting.h"
#include "intake/pausing.h"
#include "intake/set_restore.h"
#include "kafka/kafka_conf.h"
#include "telemetry/metrics.h"

enum leaving { LEAVING_NOTHING, LEAVING_DRAINS, LEAVING_COMMITS };

struct rebalance {
    const struct service *service;
    rd_kafka_t *consumer;
    struct assignments *assignments;
    struct prefetch *prefetch;
    struct committer *committer;
    struct set_restore *restore;
    int64_t reset; /* as kafka_conf_offset_reset has it */
    bool closed;
    bool cooperative; /* as the last rebalance was */

    enum leaving leaving; /* the step that the partitions which are `leaving` are in */
    int64_t drain_until_ms;
    int64_t bound_ms; /* no drain lasts longer */
};

static rd_kafka_topic_partition_list_t *new_list(const struct rebalance *r)
{
    return rd_kafka_topic_partition_list_new((int)r->assignments->count + 1);
}

static void add(rd_kafka_topic_partition_list_t *list, const struct partition *partition)
{
    rd_kafka_topic_partition_list_add(list, partition->topic, partition->id)->offset = partition->next;
}

static bool is_done(rd_kafka_error_t *error)
{
    if (error == NULL)
        return true;
    log_warn("rebalance_refused", F_STR("error", rd_kafka_error_string(error)));
    rd_kafka_error_destroy(error);
    return false;
}

/* ---- partitions begin ---- */

/* An eager assignment replaces the whole: partitions that are read already are stopped, and started at their positions (at the end anew where reading began
 * there, and no record was taken yet). */
static rd_kafka_error_t *assign(struct rebalance *r, rd_kafka_topic_partition_list_t *fresh)
{
    if (r->cooperative)
        return rd_kafka_incremental_assign(r->consumer, fresh);
    rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_copy(fresh), *restarted = new_list(r);
    for (size_t i = 0; i < r->assignments->count; i++) {
        if (!r->assignments->partitions[i]->begun)
            continue;
        add(all, r->assignments->partitions[i]);
        add(restarted, r->assignments->partitions[i]);
    }
    rd_kafka_resp_err_t err = rd_kafka_assign(r->consumer, all);
    if (restarted->cnt > 0) {
        prefetch_follow_again(r->prefetch, restarted);
        prefetch_note_purged(r->prefetch);
    }
    rd_kafka_topic_partition_list_destroy(restarted);
    rd_kafka_topic_partition_list_destroy(all);
    return err == RD_KAFKA_RESP_ERR_NO_ERROR ? NULL : rd_kafka_error_new(err, "assign: %s", rd_kafka_err2str(err));
}

static rd_kafka_error_t *unassign(struct rebalance *r, rd_kafka_topic_partition_list_t *gone)
{
    if (r->cooperative)
        return rd_kafka_incremental_unassign(r->consumer, gone);
    rd_kafka_topic_partition_list_t *none = rd_kafka_topic_partition_list_new(1);
    rd_kafka_error_t *error = assign(r, none);
    rd_kafka_topic_partition_list_destroy(none);
    return error;
}

/* Accepts the assignment without its new partitions: the group has its answer, and partitions that are read already go on. */
static void take_over(struct rebalance *r, const rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt; i++) {
        uint64_t before = r->assignments->generation;
        struct partition *partition = assignments_add(r->assignments, list->elems[i].topic, list->elems[i].partition);
        if (r->assignments->generation != before)
            set_restore_ask(r->restore, partition);
    }
    rd_kafka_topic_partition_list_t *none = rd_kafka_topic_partition_list_new(1);
    (void)is_done(assign(r, none));
    rd_kafka_topic_partition_list_destroy(none);
}

static struct partition *begin_log_anew(struct rebalance *r, struct partition *old);

/* The position isn't in the log, whose first offset is `first`: have the records expired, or was the log replaced? */
static struct partition *go_on(struct rebalance *r, struct partition *partition, int64_t first)
{
    if (partition->next >= first) {
        partition = begin_log_anew(r, partition);
    } else {
        log_warn("records_expired", F_STR("topic", partition->topic), F_INT("partition", partition->id), F_INT("offset", partition->next),
                 F_INT("first", first), F_STR("hint", "the topic's retention is shorter than its lag: the records between were never read"));
        METRIC_ADD(records_expired_total, first - partition->next);
    }
    partition->next = r->reset == RD_KAFKA_OFFSET_BEGINNING ? first : r->reset;
    return partition;
}

static void begin_found(struct rebalance *r)
{
    struct assignment_start found;
    rd_kafka_topic_partition_list_t *list = NULL;
    while (set_restore_take(r->restore, &found)) {
        struct partition *partition = found.partition;
        if (!atomic_load(&partition->revoked) && !partition->leaving && !partition->begun) {
            if (found.of_log)
                partition = go_on(r, partition, found.offset);
            else
                partition->next = found.offset;
            if (list == NULL)
                list = new_list(r);
            add(list, partition);
        }
        partition_unref(found.partition);
    }
    if (list == NULL)
        return;
    prefetch_follow(r->prefetch, list);
    bool assigned = is_done(assign(r, list));
    for (int i = 0; i < list->cnt; i++) {
        struct partition *partition = assignments_find(r->assignments, list->elems[i].topic, list->elems[i].partition);
        partition->begun = assigned;
        if (!assigned)
            set_restore_ask(r->restore, partition);
    }
    prefetch_note_purged(r->prefetch);
    rd_kafka_topic_partition_list_destroy(list);
}

/* ---- partitions leave ---- */

static void give_back_waiting(struct rebalance *r, struct partition *partition)
{
    completion_drop(r->service->completion, dispatcher_remove_waiting(r->service->dispatcher, partition));
}

static void let_go(struct rebalance *r, struct partition *partition)
{
    partition_revoke(partition);
    give_back_waiting(r, partition);
    assignments_forget(r->assignments, partition);
}

/* No job of the partition is alive: each holds a reference. */
static bool is_idle(const struct partition *partition)
{
    return atomic_load(&partition->references) == 1;
}

/* Drops the waiting jobs; called again and again, since a running job may start to wait, for a retry, say. True: no job is left. */
static bool drained(struct rebalance *r)
{
    bool none_left = true;
    for (size_t i = 0; i < r->assignments->count; i++) {
        struct partition *partition = r->assignments->partitions[i];
        if (!partition->leaving || is_idle(partition))
            continue;
        give_back_waiting(r, partition);
        none_left = none_left && is_idle(partition);
    }
    return none_left;
}

static void mark_leaving(struct rebalance *r, const rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt; i++) {
        struct partition *partition = assignments_find(r->assignments, list->elems[i].topic, list->elems[i].partition);
        if (partition != NULL)
            partition->leaving = true;
    }
}

static bool is_leaving(const struct partition *partition)
{
    return partition->leaving;
}

/* Revokes all `leaving` partitions. They are resumed before: librdkafka keeps a pause over revoke and assignment, and the partition would never be
 * read again. */
static void finish_leaving(struct rebalance *r, bool lost)
{
    rd_kafka_topic_partition_list_t *list = new_list(r);
    int count = 0;
    pausing_resume(r->consumer, r->assignments, is_leaving);
    for (size_t i = r->assignments->count; i-- > 0;) {
        struct partition *partition = r->assignments->partitions[i];
        if (!partition->leaving)
            continue;
        count++;
        if (partition->begun)
            add(list, partition);
        let_go(r, partition);
    }
    publisher_revoked(r->service->publisher);
    r->leaving = LEAVING_NOTHING;
    committer_rest(r->committer, true); /* until the next assignment */
    if (r->cooperative && !lost)        /* a member that revoked partitions rejoins */
        committer_expect_join(r->committer);
    if (r->cooperative) {
        (void)is_done(rd_kafka_incremental_unassign(r->consumer, list));
        if (r->assignments->count > 0)
            committer_rest(r->committer, false); /* perhaps no assign follows for partitions that stay */
    } else {
        rd_kafka_assign(r->consumer, NULL);
    }
    rd_kafka_topic_partition_list_destroy(list);
    prefetch_note_purged(r->prefetch);
    METRIC_SET(partitions_assigned, (int64_t)r->assignments->count);
    log_info("kafka_revoked", F_INT("partitions", count), F_INT("owned", r->assignments->count), F_INT("generation", r->assignments->generation), F_INT("lost", lost));
}

/* Jobs that end within the bound are published by us. The ends of others are stored in Redis only, and the new
 * owner publishes them from there. Then acknowledged offsets are committed, and no more follow. */
static void leave_on(struct rebalance *r)
{
    if (r->leaving == LEAVING_DRAINS && (drained(r) || clock_mono_ms() >= r->drain_until_ms || clock_mono_ms() >= r->bound_ms)) {
        committer_last_word(r->committer, is_leaving);
        r->leaving = LEAVING_COMMITS;
    }
    if (r->leaving == LEAVING_COMMITS && committer_last_word_is_said(r->committer))
        finish_leaving(r, false);
}

static void revoke(struct rebalance *r, const rd_kafka_topic_partition_list_t *list)
{
    bool lost = rd_kafka_assignment_lost(r->consumer);
    mark_leaving(r, list);
    if (lost) {
        finish_leaving(r, true);
        return;
    }
    r->leaving = LEAVING_DRAINS;
    r->drain_until_ms = clock_mono_ms() + r->service->settings->worker.revoke_drain_ms;
    leave_on(r);
}

/* ---- the member is another ---- */

/* False also if the client returns no id. The call asks librdkafka's main thread, which doesn't wait for ours. */
static bool is_another_member(struct rebalance *r)
{
    char *member = rd_kafka_memberid(r->consumer);
    bool another = member != NULL && assignments_note_member(r->assignments, member);
    if (member != NULL)
        rd_kafka_mem_free(r->consumer, member);
    return another;
}

static bool is_in(const rd_kafka_topic_partition_list_t *list, const struct partition *partition)
{
    return list != NULL && rd_kafka_topic_partition_list_find((rd_kafka_topic_partition_list_t *)(uintptr_t)list, partition->topic, partition->id) != NULL;
}

/* All goes, and what isn't in `gone` begins anew (NULL: nothing is). Where all is in it, librdkafka has told what there is to tell. */
static void begin_all_anew(struct rebalance *r, const rd_kafka_topic_partition_list_t *gone)
{
    rd_kafka_topic_partition_list_t *anew = new_list(r);
    for (size_t i = 0; i < r->assignments->count; i++) {
        struct partition *partition = r->assignments->partitions[i];
        partition->leaving = true;
        if (!is_in(gone, partition))
            add(anew, partition);
    }
    if (anew->cnt > 0)
        log_warn("membership_lost", F_INT("partitions", anew->cnt),
                 F_STR("hint", "the group put this worker out while it was joining, and has it back as a new member; others may have had its partitions: they begin anew"));
    finish_leaving(r, true);
    for (int i = 0; i < anew->cnt; i++)
        set_restore_ask(r->restore, assignments_add(r->assignments, anew->elems[i].topic, anew->elems[i].partition));
    METRIC_SET(partitions_assigned, (int64_t)r->assignments->count);
    rd_kafka_topic_partition_list_destroy(anew);
}

/* ---- the log is another ---- */

/* The jobs of the old log go on, since they can't be read again; their offsets are never committed. Sessions keep their order:
 * a lane belongs to a partition, not to an assignment. */
static struct partition *begin_log_anew(struct rebalance *r, struct partition *old)
{
    log_warn("log_replaced", F_STR("topic", old->topic), F_INT("partition", old->id), F_INT("offset", old->next),
             F_STR("hint", "the log is shorter than what was read of it: the topic was deleted and made anew, or an unclean election cut it; it is read as a new one"));
    METRIC_INC(logs_replaced_total);
    partition_orphan(old);
    assignments_forget(r->assignments, old); /* the caller has a reference */
    return assignments_add(r->assignments, old->topic, old->id);
}

bool rebalance_take_error(struct rebalance *r, const rd_kafka_message_t *message)
{
    if (message->err != RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
        return false;
    if (r->reset == RD_KAFKA_OFFSET_INVALID || message->rkt == NULL)
        return false;
    struct partition *partition = assignments_find(r->assignments, rd_kafka_topic_name(message->rkt), message->partition);
    if (partition == NULL || !partition->begun || partition->leaving)
        return true;
    if (partition->next >= 0 && message->offset >= 0 && message->offset < partition->next) /* of an earlier start: librdkafka doesn't drop it with that */
        return true;
    if (partition->next < 0) /* reading began at the end, and no record came yet */
        partition->next = message->offset;
    partition->begun = false;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    add(list, partition);
    (void)is_done(unassign(r, list));
    rd_kafka_topic_partition_list_destroy(list);
    set_restore_ask_log(r->restore, partition);
    return true;
}

/* NULL: the consumer is closing; then the last protocol is kept. */
static void note_protocol(struct rebalance *r)
{
    const char *protocol = rd_kafka_rebalance_protocol(r->consumer);
    if (protocol != NULL)
        r->cooperative = strcmp(protocol, "COOPERATIVE") == 0;
}

/* ---- the interface ---- */

void rebalance_serve(struct rebalance *r, rd_kafka_resp_err_t err, const rd_kafka_topic_partition_list_t *list)
{
    METRIC_INC(rebalances_total);
    if (r->leaving != LEAVING_NOTHING) /* librdkafka has given up waiting for it */
        finish_leaving(r, false);
    note_protocol(r);
    bool assigns = err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS, another = is_another_member(r) && r->assignments->count > 0;
    if (another)
        begin_all_anew(r, assigns ? NULL : list);
    if (!assigns) {
        if (!another)
            revoke(r, list);
        return;
    }
    take_over(r, list);
    committer_rest(r->committer, false);
    prefetch_note_purged(r->prefetch);
    METRIC_SET(partitions_assigned, (int64_t)r->assignments->count);
    log_info("kafka_assigned", F_INT("partitions", list->cnt), F_INT("owned", r->assignments->count), F_INT("generation", r->assignments->generation), F_INT("lost", 0));
}

/* No partition begins while the assignment is lost: librdkafka would take the assign call for the end of the loss, for which its callback is still due. */
void rebalance_look(struct rebalance *r)
{
    if (r->leaving != LEAVING_NOTHING)
        leave_on(r);
    else if (!r->closed && !rd_kafka_assignment_lost(r->consumer))
        begin_found(r);
}

bool rebalance_is_leaving(const struct rebalance *r)
{
    return r->leaving != LEAVING_NOTHING;
}

void rebalance_close(struct rebalance *r, int64_t until_ms)
{
    r->closed = true;
    r->bound_ms = until_ms;
    set_restore_stop(r->restore);
}

static bool is_any(const struct partition *partition)
{
    (void)partition;
    return true;
}

void rebalance_give_up(struct rebalance *r)
{
    r->leaving = LEAVING_NOTHING;
    pausing_resume(r->consumer, r->assignments, is_any);
    while (r->assignments->count > 0)
        let_go(r, r->assignments->partitions[r->assignments->count - 1]);
    publisher_revoked(r->service->publisher);
    METRIC_SET(partitions_assigned, 0);
}

struct rebalance *rebalance_create(const struct service *service, rd_kafka_t *consumer, struct assignments *assignments, struct prefetch *prefetch,
                                   struct committer *committer)
{
    struct set_restore *restore = set_restore_create(consumer, service->settings);
    if (restore == NULL)
        return NULL;
    struct rebalance *r = xcalloc(1, sizeof *r);
    *r = (struct rebalance){.service = service,
                            .consumer = consumer,
                            .assignments = assignments,
                            .prefetch = prefetch,
                            .committer = committer,
                            .restore = restore,
                            .bound_ms = INT64_MAX,
                            .reset = kafka_conf_offset_reset(service->settings)};
    return r;
}

void rebalance_destroy(struct rebalance *r)
{
    if (r == NULL)
        return;
    set_restore_destroy(r->restore);
    free(r);
}
