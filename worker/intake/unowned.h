/* Does a stable group have a partition of the jobs without an owner? Then its jobs wait until the next rebalance, however that comes about. It happens when
 * a static member (kafka.group.instance.id) gets an assignment that revokes a partition, and is killed before it rejoins, after which another
 * member would have got that partition. It restarts with its instance id and resumes its membership without a rebalance (KIP-345): the
 * group is stable. Kafka's own clients do the same.
 *
 * A partition without an owner for longer than a session lasts (by then a dead member is removed, which is a rebalance) is logged, and one member
 * makes the group rebalance: group_nudge.h. Members take turns by their ids, since one of an older version does nothing. Where a nudge
 * doesn't help, the next waits twice as long.
 *
 * Called by chat-group (group_watch.h). The two rules are pure. */
#ifndef CHAT_INTAKE_UNOWNED_H
#define CHAT_INTAKE_UNOWNED_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "settings/settings.h"

/* ---- the rules ---- */

struct unowned_view {
    int count;     /* of partitions without an owner */
    int32_t first; /* the first of them */
    size_t rank;   /* number of members with a smaller id */
};

/* False: unknown, since the group isn't stable, doesn't contain `self`, or has an assignment that can't be decoded. */
bool unowned_view(const struct rd_kafka_group_info *group, const char *self, const char *topic, int partitions, struct unowned_view *ret);

struct unowned { /* zeroes: each partition has an owner */
    int64_t since_ms;
    int nudges; /* in a row that didn't help */
};

/* True: it is this member's turn to nudge. view NULL: unknown. patience_ms: as long as a session; turn_ms: between two members' turns. */
bool unowned_is_due(struct unowned *unowned, const struct unowned_view *view, int64_t now_ms, int64_t patience_ms, int64_t turn_ms);

/* ---- the watch ---- */

struct unowned_watch;

/* Borrows its arguments. turn_ms: more than between two looks. */
struct unowned_watch *unowned_watch_create(const struct settings *settings, rd_kafka_t *consumer, int64_t turn_ms);
void unowned_watch_destroy(struct unowned_watch *watch); /* NULL is fine */
/* True: the group should be nudged now. groups: the response that describes it. Blocks for the topic's metadata, ANSWER_MS at most. */
bool unowned_watch_look(struct unowned_watch *watch, const struct rd_kafka_group_list *groups);

#endif
