/* Whether librdkafka is fetching: its thread for a broker has one Fetch request under way at a time, or rests. Installed before
 * the consumer is made. librdkafka's threads write, any thread reads. */
#ifndef CHAT_INTAKE_FETCH_WATCH_H
#define CHAT_INTAKE_FETCH_WATCH_H

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <stdint.h>

/* A bit a broker, by its id modulo 64: of two brokers that share a bit only the busier one is seen. */
struct fetch_watch {
    atomic_uint_fast64_t known; /* got a Fetch request at least once */
    atomic_uint_fast64_t asked; /* a Fetch request is under way */
};

/* watch is kept until the consumer is destroyed. */
void fetch_watch_install(rd_kafka_conf_t *conf, struct fetch_watch *watch);
/* The bits of the brokers that got a Fetch before and have none under way now; set for a moment between any two requests. */
uint64_t fetch_watch_resting(const struct fetch_watch *watch);
uint64_t fetch_watch_bit(int32_t broker_id);

#endif
