/* Commits what is done: on a timer, one commit outstanding at a time and none while the member joins a generation, and
 * before partitions go. A refused commit is not recorded; the next one says it again, in the same generation. With
 * exactly-once it commits nothing: at the same times it tells the publisher what there is to say (completion/publisher.h).
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

/* joining: set while commits rest for a JoinGroup (join_watch.h). Keeps all it is given. */
struct committer *committer_create(const struct service *service, rd_kafka_t *consumer, const struct assignments *assignments, atomic_bool *joining);
void committer_destroy(struct committer *committer); /* before the consumer; NULL is fine */

/* Blocks never. */
void committer_look(struct committer *committer);
/* Before partitions go: the commit under way is waited for, then the last word said for those of which it is true, and its
 * answer waited for, REVOKE_COMMIT_MS at most, and no longer than committer_bound says. Blocks never: ask whether it is said, again and again. */
void committer_last_word(struct committer *committer, bool (*of)(const struct partition *partition));
bool committer_last_word_is_said(struct committer *committer);
/* The same for all, waiting. */
void committer_now(struct committer *committer);
/* Nothing is waited for beyond until_ms (clock_mono_ms) from now on: the worker ends. */
void committer_bound(struct committer *committer, int64_t until_ms);
/* From a revoke to the next assign nothing is committed: librdkafka stamps the generation when a commit is sent. */
void committer_rest(struct committer *committer, bool rests);
/* The member will join again. From here on, not from when its JoinGroup is seen: a commit in between would stand behind
 * that. Were none to come, commits would rest for a while. */
void committer_expect_join(struct committer *committer);

#endif
