/* Destroys a Kafka client, with a bound: librdkafka's own destroy waits for each of its threads, one of which may be looking up a name, and
 * for calls of other threads, which may never return. */
#ifndef CHAT_KAFKA_KAFKA_DESTROY_H
#define CHAT_KAFKA_KAFKA_DESTROY_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

/* In a thread of its own; waits until until_ms (clock_mono_ms). False: it hasn't ended by then; the client, and all that its callbacks access, must
 * not be freed, and the process should end next. A consumer must be closed first. */
bool kafka_destroy(rd_kafka_t *client, int64_t until_ms);
/* The same without waiting. memory: freed after it; NULL is fine. What else its callbacks access must stay until the process ends. */
void kafka_destroy_later(rd_kafka_t *client, void *memory);

/* Between the close of a consumer that has a group and its destruction; blocks for 20 ms. The close lets the coordinator go: the thread of its
 * connection ends it and asks another broker for metadata. If that broker's thread ends meanwhile, librdkafka aborts (its #3608). Nothing tells
 * when it has asked; it takes less than a tenth of this. */
void kafka_let_coordinator_go(void);

#endif
