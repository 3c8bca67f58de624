/* Publishes deltas of answers while they are streamed (wire/delta.h), to worker.deltas_topic. Best effort: a delta that
 * Kafka doesn't acknowledge soon is dropped and counted, since the reply contains the whole text; nothing waits for deltas. With a
 * producer of its own, outside transactions, made when the first job comes that wants deltas, and replaced when it failed for good (renewals.h): by the intake and
 * the timekeeper, since librdkafka waits for its own threads when it makes a client. Who sends, a job's thread or an event loop, never blocks. */
#ifndef CHAT_COMPLETION_DELTA_PUBLISHER_H
#define CHAT_COMPLETION_DELTA_PUBLISHER_H

#include "settings/settings.h"
#include "wire/delta.h"
#include "wire/record.h"

struct delta_publisher;

struct delta_publisher *delta_publisher_create(const struct settings *settings, const char *bootstrap);
/* Flushes briefly, and waits for its client's end, four seconds in all at most. NULL is fine. */
void delta_publisher_destroy(struct delta_publisher *publisher);

/* The intake: a job has come that wants deltas. Makes the client if there is none, and waits some ms for librdkafka's threads, for no broker. */
void delta_publisher_prepare(struct delta_publisher *publisher);
/* The timekeeper: replaces a client that failed for good; deltas sent since are lost. Waits as delta_publisher_prepare does. */
void delta_publisher_look_after(struct delta_publisher *publisher);

/* Any thread. The key is that of the job's record (if it has none: the job's id), so that the deltas of a job stay in order. */
void delta_publisher_send(struct delta_publisher *publisher, const struct record *record, const struct delta *delta);

#endif
