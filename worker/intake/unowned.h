/* Has a stable group given a partition of the jobs to nobody? Then its jobs wait until the next rebalance, whoever causes it. So it happens:
 * a static member (kafka.group.instance.id) gets an assignment that takes a partition from it, and is killed before it joins once more,
 * after which another would have been given that partition. It comes back under its id and has its place without a rebalance (KIP-345): the
 * group is content. Kafka's own clients do the same. Partitions that are added to the topic are nobody's, either, until a member sees them, which is
 * after topic.metadata.refresh.interval.ms (librdkafka's is five minutes).
 *
 * What is given to nobody for longer than a revoke takes (a member that drains what leaves it has it no more, and joins again only then; another
 * rebalance would stop all the others until it does) and a session lasts (within it a dead member is put out, which is a rebalance) is said, and
 * one member has the group rebalance: group_nudge.h. Members take turns by their ids, since one of an older version does nothing. Where that
 * doesn't help, each next time comes after twice as long.
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

/* For so long partitions may have no owner while all is well. session_ms: that of the members. */
int64_t unowned_patience_ms(const struct settings *settings, int64_t session_ms);

/* True: it is this member's turn. view NULL: nothing can be said. turn_ms: between two members' turns. */
bool unowned_is_due(struct unowned *unowned, const struct unowned_view *view, int64_t now_ms, int64_t patience_ms, int64_t turn_ms);

/* ---- the watch ---- */

struct unowned_watch;

/* Borrows its arguments. turn_ms: more than between two looks. */
struct unowned_watch *unowned_watch_create(const struct settings *settings, rd_kafka_t *consumer, int64_t turn_ms);
void unowned_watch_destroy(struct unowned_watch *watch); /* NULL is fine */
/* True: the group should be nudged now. groups: the response that describes it. Blocks for the topic's metadata, ANSWER_MS at most. */
bool unowned_watch_look(struct unowned_watch *watch, const struct rd_kafka_group_list *groups);

#endif
