/* Reads the control topic (wire/control.h) and carries out its requests: a cancelled job is ended at once, or when its record is read
 * if it hasn't been yet.
 *
 * A thread and a client of its own, outside the group: each worker reads all partitions. Reading begins a day back, as long as
 * a cancelled id is remembered (dispatch/cancelled_ids.h), so that a restarted worker knows these ids too. A topic that
 * doesn't exist, or is deleted, is looked for periodically and stops nothing; a record that can't be understood is skipped. */
#ifndef CHAT_INTAKE_CONTROL_READER_H
#define CHAT_INTAKE_CONTROL_READER_H

#include "task/service.h"

struct control_reader;

/* Call before the intake starts, so that earlier cancels are known when jobs are read: blocks until the topic is read to its end, or a
 * few seconds. *ret is NULL where worker.control_topic is empty. */
enum status control_reader_start(const struct service *service, const char *bootstrap, struct control_reader **ret, struct error *err) MUST_CHECK;
/* Announces control_reader_stop, so that the thread begins no more long calls and the stop needn't wait for them. Never blocks. NULL is fine. */
void control_reader_end_soon(struct control_reader *reader);
/* Before completion is stopped. Blocks for a look-up under way, up to four seconds, and as long as librdkafka takes to end a client. NULL is fine. */
void control_reader_stop(struct control_reader *reader);

#endif
