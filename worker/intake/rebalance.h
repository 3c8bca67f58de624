/* Partitions are assigned and revoked in steps between polls, so that work on other partitions goes on:
 *
 *   assigned ─▶ waits for where it begins (set_restore.h) ─▶ read ─▶ leaving ─▶ revoked
 *                 ▲                                          │      what runs may end: worker.revoke_drain_ms
 *                 └── its position isn't in the log ◀────────┘      then its last commit: committer.h
 *
 * An assignment is accepted at once, before the start offsets are known; each partition is given to librdkafka when its own is. A revoke
 * is acknowledged when the last commit has been answered; until then librdkafka fetches no partition (it has paused all, and
 * thrown away what it had read ahead), but jobs in memory go on, and are committed. The group waits meanwhile, for
 * worker.revoke_drain_ms and REVOKE_COMMIT_MS at most. With exactly-once the last commit is that of the transaction
 * which holds the replies of the revoked partitions: were a partition given away before, the new owner would see its offsets as UNSTABLE until
 * that transaction ends, and our commit would be refused, since its generation is old.
 *
 * A member that the group removes while it is joining gets another member id, and librdkafka (Debian 12's to the newest,
 * where a group.instance.id spares it a second JoinGroup) doesn't report its partitions as lost: it keeps those that the group assigns to
 * it again, though others may have owned them meanwhile. So each callback compares the member id; once it has changed, all assignments are
 * lost, and partitions that stay begin again at their committed offsets. Java's client has the same rule: ConsumerCoordinator.onJoinPrepare.
 *
 * When a position isn't in the log, librdkafka returns an error and doesn't choose another (auto.offset.reset=error). Below the
 * log's first record, the records have expired: the assignment goes on at the first. Above the last one, the log was replaced: the topic was deleted
 * and made anew, or an unclean election cut it. That is a new assignment, and its offsets have nothing to do with the old one's.
 *
 * Intake thread only, also in librdkafka's callback; blocks in librdkafka's assign calls only. */
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

/* Borrows all arguments. NULL: its thread can't be started. */
struct rebalance *rebalance_create(const struct service *service, rd_kafka_t *consumer, struct assignments *assignments, struct prefetch *prefetch,
                                   struct committer *committer);
void rebalance_destroy(struct rebalance *rebalance); /* after rebalance_close, before the consumer; NULL is fine */

/* To be called by librdkafka's rebalance callback, with its arguments. */
void rebalance_serve(struct rebalance *rebalance, rd_kafka_resp_err_t err, const rd_kafka_topic_partition_list_t *list);
/* Takes the steps that are due. */
void rebalance_look(struct rebalance *rebalance);
/* Partitions are being revoked: call rebalance_look again in a few milliseconds. */
bool rebalance_is_leaving(const struct rebalance *rebalance);
/* Handles a partition's error that its position isn't in the log. False: it is another error. */
bool rebalance_take_error(struct rebalance *rebalance, const rd_kafka_message_t *message);
/* No more partitions begin, and running jobs of revoked ones have until until_ms (clock_mono_ms). Waits for a call under way, two
 * seconds at most. */
void rebalance_close(struct rebalance *rebalance, int64_t until_ms);
/* The client has failed: all assignments are lost. */
void rebalance_give_up(struct rebalance *rebalance);

#endif
