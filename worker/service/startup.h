/* What must be there before work starts: Kafka with its topics, Redis with the right password; and the
 * warnings an operator wants to see once. */
#ifndef CHAT_SERVICE_STARTUP_H
#define CHAT_SERVICE_STARTUP_H

#include "redis/redis_pool.h"
#include "redis/session_store.h"
#include "settings/settings.h"

/* Tries for worker.startup_wait_ms (0: once), with backoff, while ERROR_UNAVAILABLE; a refusal ends it at once.
 * self: its heartbeat is part of a try, so that a Redis that failed meanwhile is waited for too; NULL: nothing is written.
 * give_up is called between tries (true: a signal came). *ret_partitions, on OK: the number of partitions of the jobs' topic; may be NULL. Blocks. */
enum status startup_check(const struct settings *settings, const char *bootstrap, struct redis_pool *redis,
                          const struct session_store_conf *self, bool (*give_up)(void), int *ret_partitions, struct error *err) MUST_CHECK;
/* Raises the soft limit of open files to the hard one. FAILED, permanent: that is too few for a connection of each thread. Warns where
 * it is too few for as many as there may be: a thread keeps one to each provider and context source that it asked a moment ago. */
enum status startup_raise_file_limit(const struct settings *settings, struct error *err) MUST_CHECK;
/* Lets each malloc arena begin with room, and keep it: grown a page at a time, a wave of new threads spends its
 * time in mprotect. Address space, not memory. Before the first thread. */
void startup_tune_malloc(void);

#endif
