/* The end of a Kafka client, with a bound: librdkafka's own waits for each of its threads, one of which may be looking up a name, or
 * be in a call of another thread that never ends. */
#ifndef CHAT_KAFKA_KAFKA_DESTROY_H
#define CHAT_KAFKA_KAFKA_DESTROY_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

/* In a thread of its own, for as long as until_ms (clock_mono_ms). False: not by then; the client, and whatever its callbacks touch, has to be
 * left as it is until the process ends, which should be next. A consumer has to be closed first. */
bool kafka_destroy(rd_kafka_t *client, int64_t until_ms);

#endif
