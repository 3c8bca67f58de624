/* The idempotent producer for replies and dead letters. Its delivery reports are served by the completion
 * thread (publisher_poll), never by the thread of the rebalance callback. */
#ifndef CHAT_COMPLETION_PUBLISHER_H
#define CHAT_COMPLETION_PUBLISHER_H

#include "dispatch/task.h"
#include "base/settings.h"

struct publisher;

/* Called in publisher_poll for each record: delivered, or failed for good with *err. */
typedef void publisher_report(struct task *task, bool is_dead_letter, const struct error *err, void *arg);

/* Blocks for up to ten seconds while the broker doesn't answer: the topics are looked up. */
enum status publisher_create(const struct settings *settings, const char *bootstrap, publisher_report *report,
                             struct publisher **ret, struct error *err) MUST_CHECK;
void publisher_set_report_arg(struct publisher *publisher, void *arg);
void publisher_destroy(struct publisher *publisher); /* NULL is fine */

/* Enqueue; wait inside while the producer's queue is full. FAILED: will never be accepted as it is. */
enum status publisher_reply(struct publisher *publisher, struct task *task, const char *value, struct error *err) MUST_CHECK;
enum status publisher_dead_letter(struct publisher *publisher, struct task *task, bool omit_value, struct error *err) MUST_CHECK;

/* Serves delivery reports for up to timeout_ms. */
void publisher_poll(struct publisher *publisher, int timeout_ms);
/* The same, and what is queued is sent without lingering; returns as soon as all is acknowledged. */
void publisher_hurry(struct publisher *publisher, int timeout_ms);
/* Records not yet acknowledged. */
int publisher_pending(struct publisher *publisher);

#endif
