/* What it means that Kafka, its client or a broker, refuses a record: the one place that knows librdkafka's error codes. Pure. */
#ifndef CHAT_COMPLETION_PUBLISH_REFUSAL_H
#define CHAT_COMPLETION_PUBLISH_REFUSAL_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

#include "base/error.h"

enum refusal_kind {
    REFUSAL_NOT_NOW,    /* nothing is wrong with the record: it is sent again later */
    REFUSAL_QUEUE_FULL, /* the client has room again when a record has been acknowledged */
    REFUSAL_TOO_LARGE,  /* for the client, or for its topic; the broker returns this for a whole batch, too */
    REFUSAL_INVALID,    /* another fault of a record; returned for a whole batch, too */
    REFUSAL_TOPIC,      /* missing or forbidden: no record to this topic is accepted */
    REFUSAL_PARTITION   /* the topic has no such partition, or none at all */
};

struct refusal {
    enum refusal_kind kind;
    struct error error; /* class PERMANENT if the record will never be accepted as it is, else RETRIABLE; code: librdkafka's name */
};

enum refusal_kind refusal_kind_of(rd_kafka_resp_err_t err);
/* topic NULL: not named in the error. */
void refusal_set(struct refusal *ret, rd_kafka_resp_err_t err, const char *topic);

/* The record will never be accepted as it is. */
bool refusal_is_final(enum refusal_kind kind);
/* Nothing is wrong with the record but its topic or partition. */
bool refusal_is_of_the_place(enum refusal_kind kind);
/* A fault of one record for which the broker refuses its whole batch: a record refused together with others may be valid. */
bool refusal_is_of_a_batch(enum refusal_kind kind);

#endif
