/* What both bare forms set up before the first job, and what they count: their command line, Kafka's clients, offsets, the end.
 *
 *   PROGRAM BOOTSTRAP REDIS_URL LLM_URL IN_FLIGHT JOBS JOBS_TOPIC REPLIES_TOPIC GROUP
 *
 * Ends after JOBS replies are acknowledged, with a line of JSON (0: goes on until it is ended). GROUP is the consumers' and the prefix of Redis' keys.
 * At least once: an offset is stored when its reply is acknowledged and all before it are, and committed once a second. A claim isn't
 * renewed: it lasts ten minutes. No order within a session, no retries. Ends the process at the first error. */
#ifndef CHAT_BENCH_FLOOR_SETUP_H
#define CHAT_BENCH_FLOOR_SETUP_H

#include <librdkafka/rdkafka.h>

#include "floor_job.h"
#include "redis/session_store.h"

struct floor {
    const char *redis_url, *llm_url, *replies_topic;
    int in_flight;
    rd_kafka_t *consumer, *producer;
    struct session_store_conf store;
};

/* Reads the command line, makes the clients and subscribes. delivered: called by the producer's poll, with a job as the message's opaque. */
void floor_start(struct floor *floor, int argc, char **argv, void (*delivered)(rd_kafka_t *, const rd_kafka_message_t *, void *));
/* A record of the consumer's as a job; NULL: none, or an event. Takes the message. One thread. */
struct floor_job *floor_received(rd_kafka_message_t *message);
/* The job's reply is handed to the producer, the job with it. Any thread; doesn't wait. */
void floor_publish(const struct floor *floor, struct floor_job *job);
/* The job's reply is acknowledged: its offset is done, the job is freed. Any thread; one at a time with floor_received. Doesn't return after the last. */
void floor_done(struct floor_job *job);

#endif
