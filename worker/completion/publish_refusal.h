/* What it means that Kafka, its client or a broker, takes a record not: the one place that knows librdkafka's error codes. Pure. */
#ifndef CHAT_COMPLETION_PUBLISH_REFUSAL_H
#define CHAT_COMPLETION_PUBLISH_REFUSAL_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

#include "base/error.h"

enum refusal_kind {
    REFUSAL_NOT_NOW,    /* nothing is wrong with the record: it goes again later */
    REFUSAL_QUEUE_FULL, /* nor with anything: the client has room again when something has left it */
    REFUSAL_TOO_LARGE,  /* for the client, or for its topic; the broker says so of a whole batch, too */
    REFUSAL_INVALID,    /* the same, for another fault of a record */
    REFUSAL_TOPIC,      /* missing or forbidden; no record of it is taken */
    REFUSAL_PARTITION   /* the topic has no such partition, or none at all */
};

struct refusal {
    enum refusal_kind kind;
    struct error error; /* of class PERMANENT where the record as it is will never be taken, else RETRIABLE; code: librdkafka's name */
};

enum refusal_kind refusal_kind_of(rd_kafka_resp_err_t err);
/* topic NULL: isn't said. */
void refusal_set(struct refusal *ret, rd_kafka_resp_err_t err, const char *topic);

/* As it is, it will never be taken. */
bool refusal_is_final(enum refusal_kind kind);
/* Nothing is wrong with the record but where it was to go. */
bool refusal_is_of_the_place(enum refusal_kind kind);
/* A fault of one record which the broker lays to all that came with it: who was refused in company may be innocent. */
bool refusal_is_of_a_batch(enum refusal_kind kind);

#endif
