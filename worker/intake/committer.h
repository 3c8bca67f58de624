/* Commits offsets of finished jobs: on a timer, one commit outstanding at a time and none while the member joins a generation, and
 * before partitions are revoked. A refused commit is not recorded; the next one contains the same offsets, in the same generation. With
 * exactly-once it commits nothing: at the same times it passes partitions with new offsets to the publisher (completion/publisher.h).
 *
 * Intake thread only, but for *joining. */
#ifndef CHAT_INTAKE_COMMITTER_H
#define CHAT_INTAKE_COMMITTER_H

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "intake/assignments.h"
#include "task/service.h"

struct committer;

#define REVOKE_COMMIT_MS 5000

/* joining: set while no commit may be sent because of a JoinGroup (join_watch.h). Borrows all arguments. */
struct committer *committer_create(const struct service *service, rd_kafka_t *consumer, const struct assignments *assignments, atomic_bool *joining);
void committer_destroy(struct committer *committer); /* before the consumer; NULL is fine */

/* Blocks never. */
void committer_look(struct committer *committer);
/* Before partitions are revoked: waits for the commit under way, then commits the partitions for which `of` is true and waits for the
 * response, REVOKE_COMMIT_MS at most and not beyond committer_bound. Never blocks: the caller polls committer_last_word_is_said. */
void committer_last_word(struct committer *committer, bool (*of)(const struct partition *partition));
bool committer_last_word_is_said(struct committer *committer);
/* committer_last_word for all partitions; blocks until it is committed. */
void committer_now(struct committer *committer);
/* From now on no commit is waited for beyond until_ms (clock_mono_ms): the worker shuts down. */
void committer_bound(struct committer *committer, int64_t until_ms);
/* From a revoke to the next assign nothing is committed: librdkafka stamps the generation when a commit is sent. */
void committer_rest(struct committer *committer, bool rests);
/* The member will join again: no commit from now on, not only from its JoinGroup on, since one sent in between would be queued behind the
 * JoinGroup. If no JoinGroup follows, commits resume after a while. */
void committer_expect_join(struct committer *committer);

#endif
