/* Partitions come and go, in steps between polls, so that neither stops what is done with the others:
 *
 *   assigned ─▶ waits for where it begins (set_restore.h) ─▶ read ─▶ leaving ─▶ revoked
 *                 ▲                                          │      what runs may end: worker.revoke_drain_ms
 *                 └── its place isn't in the log any more ◀──┘      then its last commit: committer.h
 *
 * An assignment is accepted at once, without what isn't known yet; each partition is handed to librdkafka when it is. A revoke
 * is answered when its last commit has been; until then librdkafka itself rests for all partitions (it has paused them, and
 * thrown away what it had read ahead), but what is in memory goes on, commits with it. The group waits meanwhile, for
 * worker.revoke_drain_ms and REVOKE_COMMIT_MS at most. In exactly-once the last commit is that of the transaction
 * which holds the ends of what leaves: were the partition given away before, the new owner would see its offsets as UNSTABLE until
 * that transaction ends, and our commit would be refused, since the generation has gone on.
 *
 * A member that the group has put out while it was joining comes back under another member id, and librdkafka (Debian 12's to the newest,
 * where a group.instance.id spares it a second JoinGroup) doesn't say that its partitions are lost: it goes on with what the group leaves
 * with it, though others may have had it meanwhile. So at each callback the member id is looked at; once it is another, all there is is
 * lost, and what stays begins anew where it is committed now. The rule is that of Java's client: ConsumerCoordinator.onJoinPrepare.
 *
 * When a position isn't in the log, librdkafka is told to say so and not to choose another (auto.offset.reset=error). Below the
 * log's first record it has expired: the assignment goes on there. Above its last, the log is another, one whose topic was deleted and
 * made anew (or it was cut, by an unclean election): that is a new assignment, and its offsets have nothing to do with the old one's.
 *
 * Intake thread only, also in librdkafka's callback; blocks never, but for librdkafka's own answers to an assignment. */
#ifndef CHAT_INTAKE_REBALANCE_H
#define CHAT_INTAKE_REBALANCE_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

#include "intake/assignments.h"
#include "intake/committer.h"
#include "intake/prefetch.h"
#include "task/service.h"

struct rebalance;

/* Keeps all it is given. NULL: its thread can't be started. */
struct rebalance *rebalance_create(const struct service *service, rd_kafka_t *consumer, struct assignments *assignments, struct prefetch *prefetch,
                                   struct committer *committer);
void rebalance_destroy(struct rebalance *rebalance); /* after rebalance_close, before the consumer; NULL is fine */

/* What the callback is told. */
void rebalance_serve(struct rebalance *rebalance, rd_kafka_resp_err_t err, const rd_kafka_topic_partition_list_t *list);
/* Takes the steps that are due. */
void rebalance_look(struct rebalance *rebalance);
/* Partitions are leaving: look again in a few milliseconds. */
bool rebalance_is_leaving(const struct rebalance *rebalance);
/* An error of a partition's that says its position isn't in the log. False: it is another. */
bool rebalance_take_error(struct rebalance *rebalance, const rd_kafka_message_t *message);
/* No partition begins any more, and what runs of those that leave has until until_ms (clock_mono_ms). Waits for a call under way, two
 * seconds at most. */
void rebalance_close(struct rebalance *rebalance, int64_t until_ms);
/* The client has failed: all that is ours is another's. */
void rebalance_give_up(struct rebalance *rebalance);

#endif
