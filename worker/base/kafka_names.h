/* The names of librdkafka's properties, for refusing unknown ones. base/ doesn't depend on librdkafka: its users pass the
 * functions (kafka/kafka_conf.h, producer/kafka_client.c). Any thread. */
#ifndef CHAT_BASE_KAFKA_NAMES_H
#define CHAT_BASE_KAFKA_NAMES_H

#include <stdbool.h>
#include <stdio.h>

#define KAFKA_NAMES_PAGE "https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md"

struct kafka_names {
    bool (*is_known)(const char *name);
    void (*show)(FILE *out); /* rd_kafka_conf_properties_show */
};

/* The known name nearest to an unknown one. False: none is near. Builds the whole list: for errors only. */
bool kafka_names_nearest(void (*show)(FILE *out), const char *name, char ret[64]);

#endif
