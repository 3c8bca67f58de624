/* Publishes deltas of answers while they are being written (wire/delta.h), to worker.deltas_topic. Best effort: a delta that
 * Kafka doesn't take soon is dropped and counted, since the reply brings the whole; nothing ever waits for one. With a
 * producer of its own, outside transactions, made when the first job wants it. Any thread; blocks on nothing. */
#ifndef CHAT_COMPLETION_DELTA_PUBLISHER_H
#define CHAT_COMPLETION_DELTA_PUBLISHER_H

#include "settings/settings.h"
#include "wire/delta.h"
#include "wire/record.h"

struct delta_publisher;

struct delta_publisher *delta_publisher_create(const struct settings *settings, const char *bootstrap);
/* Waits for what is under way, for a moment, and for its client's end, four seconds in all at most. NULL is fine. */
void delta_publisher_destroy(struct delta_publisher *publisher);

/* With the key of the job's record (without one: the job's id), so that the deltas of a job stay in order. */
void delta_publisher_send(struct delta_publisher *publisher, const struct record *record, const struct delta *delta);

#endif
