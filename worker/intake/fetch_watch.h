/* Whether librdkafka asks the brokers for records: its thread of a broker has one Fetch under way at a time, or rests. Installed before
 * the consumer is made. librdkafka's threads write, any thread reads. */
#ifndef CHAT_INTAKE_FETCH_WATCH_H
#define CHAT_INTAKE_FETCH_WATCH_H

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A bit a broker, by its id modulo 64: two that share a bit look as busy as the busier one. */
struct fetch_watch {
    atomic_uint_fast64_t known; /* was asked once */
    atomic_uint_fast64_t asked; /* its answer hasn't come */
};

/* watch is kept until the consumer is destroyed. */
void fetch_watch_install(rd_kafka_conf_t *conf, struct fetch_watch *watch);
/* Some broker that was asked before isn't asked now. For a moment that is so between any two requests. */
bool fetch_watch_rests(const struct fetch_watch *watch);

#endif
