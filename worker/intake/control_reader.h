/* Reads the control topic (wire/control.h) and carries out what it asks for: a job that is cancelled leaves its place at
 * once, here or when it is read.
 *
 * A thread and a client of their own, outside the group: each worker reads all partitions. It begins a day back, as long as
 * a cancelled id is remembered (dispatch/cancelled_ids.h), so that a worker that starts anew knows them too. A topic that
 * isn't there, or goes away, is looked for again now and then, and stops nothing; nor does a record that says nothing. */
#ifndef CHAT_INTAKE_CONTROL_READER_H
#define CHAT_INTAKE_CONTROL_READER_H

#include "task/service.h"

struct control_reader;

/* Before the intake, so that jobs meet what was cancelled before: blocks until all that is on the topic has been read, or a
 * few seconds. *ret is NULL where worker.control_topic is empty. */
enum status control_reader_start(const struct service *service, const char *bootstrap, struct control_reader **ret, struct error *err) MUST_CHECK;
/* It is stopped soon: what it waits for meanwhile needn't be waited for then. Never blocks. NULL is fine. */
void control_reader_end_soon(struct control_reader *reader);
/* Before completion is stopped. Blocks for a look-up under way, up to four seconds, and as long as librdkafka takes to end a client. NULL is fine. */
void control_reader_stop(struct control_reader *reader);

#endif
