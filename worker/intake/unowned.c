#include "intake/unowned.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "intake/committer.h"
#include "intake/group_watch.h"

#define ANSWER_MS 2000
#define DOUBLINGS_MAX 6
#define SESSION_MS 45000 /* librdkafka's default, should the value not be known */

/* ---- the rules ---- */

/* False: it can't be read. */
static bool mark_owned(const struct rd_kafka_group_member_info *member, const char *topic, int partitions, bool *owned)
{
    size_t size = member->member_assignment_size > 0 ? (size_t)member->member_assignment_size : 0;
    rd_kafka_topic_partition_list_t *list = group_assignment_decode(member->member_assignment, size);
    if (list == NULL)
        return size == 0; /* it has no partitions */
    for (int i = 0; i < list->cnt; i++)
        if (strcmp(list->elems[i].topic, topic) == 0 && list->elems[i].partition >= 0 && list->elems[i].partition < partitions)
            owned[list->elems[i].partition] = true;
    rd_kafka_topic_partition_list_destroy(list);
    return true;
}

bool unowned_view(const struct rd_kafka_group_info *group, const char *self, const char *topic, int partitions, struct unowned_view *ret)
{
    *ret = (struct unowned_view){0};
    if (group->err != RD_KAFKA_RESP_ERR_NO_ERROR || group->state == NULL || strcmp(group->state, "Stable") != 0)
        return false;
    bool *owned = xcalloc((size_t)partitions + 1, sizeof *owned);
    bool is_member = false, known = true;
    for (int m = 0; m < group->member_cnt; m++) {
        int order = strcmp(group->members[m].member_id, self);
        is_member = is_member || order == 0;
        ret->rank += order < 0;
        known = mark_owned(&group->members[m], topic, partitions, owned) && known;
    }
    for (int32_t p = partitions; p-- > 0;)
        if (!owned[p]) {
            ret->count++;
            ret->first = p;
        }
    free(owned);
    return is_member && known;
}

int64_t unowned_patience_ms(const struct settings *settings, int64_t session_ms)
{
    return settings->worker.revoke_drain_ms + REVOKE_COMMIT_MS + session_ms;
}

bool unowned_is_due(struct unowned *unowned, const struct unowned_view *view, int64_t now_ms, int64_t patience_ms, int64_t turn_ms)
{
    if (view == NULL) { /* the group rebalances: the wait starts again */
        unowned->since_ms = 0;
        return false;
    }
    if (view->count == 0) {
        *unowned = (struct unowned){0};
        return false;
    }
    if (unowned->since_ms == 0)
        unowned->since_ms = now_ms;
    int doublings = unowned->nudges < DOUBLINGS_MAX ? unowned->nudges : DOUBLINGS_MAX;
    if (now_ms - unowned->since_ms < (patience_ms + (int64_t)view->rank * turn_ms) << doublings)
        return false;
    unowned->since_ms = now_ms;
    unowned->nudges++;
    return true;
}

/* ---- the watch ---- */

struct unowned_watch {
    rd_kafka_t *consumer;
    const char *group_id, *topic;
    int64_t patience_ms, turn_ms;
    struct unowned unowned;
};

static int64_t session_ms(const rd_kafka_t *consumer)
{
    char value[32];
    size_t size = sizeof value;
    if (rd_kafka_conf_get(rd_kafka_conf((rd_kafka_t *)(uintptr_t)consumer), "session.timeout.ms", value, &size) != RD_KAFKA_CONF_OK)
        return SESSION_MS;
    return strtoll(value, NULL, 10);
}

struct unowned_watch *unowned_watch_create(const struct settings *settings, rd_kafka_t *consumer, int64_t turn_ms)
{
    struct unowned_watch *watch = xcalloc(1, sizeof *watch);
    *watch = (struct unowned_watch){.consumer = consumer,
                                    .group_id = settings->kafka.group_id,
                                    .topic = settings->worker.jobs_topic,
                                    .patience_ms = unowned_patience_ms(settings, session_ms(consumer)),
                                    .turn_ms = turn_ms};
    return watch;
}

void unowned_watch_destroy(struct unowned_watch *watch)
{
    free(watch);
}

/* How many partitions the topic has now; -1: unknown. */
static int partitions_of(rd_kafka_t *consumer, const char *name)
{
    const struct rd_kafka_metadata *metadata = NULL;
    int partitions = -1;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(consumer, name, NULL);
    if (topic != NULL && rd_kafka_metadata(consumer, 0, topic, &metadata, ANSWER_MS) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (metadata->topic_cnt == 1 && metadata->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR)
            partitions = metadata->topics[0].partition_cnt;
        rd_kafka_metadata_destroy(metadata);
    }
    if (topic != NULL)
        rd_kafka_topic_destroy(topic);
    return partitions;
}

static const struct rd_kafka_group_info *find_group(const struct rd_kafka_group_list *groups, const char *group_id)
{
    for (int g = 0; g < groups->group_cnt; g++)
        if (groups->groups[g].group != NULL && strcmp(groups->groups[g].group, group_id) == 0)
            return &groups->groups[g];
    return NULL;
}

bool unowned_watch_look(struct unowned_watch *watch, const struct rd_kafka_group_list *groups)
{
    struct unowned_view view;
    const struct rd_kafka_group_info *group = find_group(groups, watch->group_id);
    int partitions = group != NULL ? partitions_of(watch->consumer, watch->topic) : -1;
    char *self = rd_kafka_memberid(watch->consumer);
    bool known = partitions >= 0 && self != NULL && unowned_view(group, self, watch->topic, partitions, &view);
    if (self != NULL)
        rd_kafka_mem_free(watch->consumer, self);
    int64_t now_ms = clock_mono_ms(), since_ms = watch->unowned.since_ms;
    if (!unowned_is_due(&watch->unowned, known ? &view : NULL, now_ms, watch->patience_ms, watch->turn_ms))
        return false;
    log_warn("partitions_unowned", F_STR("topic", watch->topic), F_INT("partitions", view.count), F_INT("first", view.first), F_INT("for_ms", now_ms - since_ms),
             F_STR("hint", "the group is stable and has given them to nobody (a static member died while they moved, or they were added); it is made to rebalance"));
    return true;
}
