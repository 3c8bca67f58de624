/* A job's reply topic and partition, and the reply's headers. Pure; any thread. For producers of jobs: docs/jobs.md, "Headers".
 *
 * traceparent, tracestate and kafka_correlationId are copied; kafka_replyTopic is honoured only when it is
 * on the allow-list, else the reply is sent to the default topic; kafka_replyPartition (Spring's: 4 bytes, big-endian) only with
 * a topic that is honoured. If the job has CloudEvents binary-mode headers (ce_id, ce_source, ce_specversion, ce_type), the
 * reply gets its own. */
#ifndef CHAT_WIRE_REPLY_ROUTE_H
#define CHAT_WIRE_REPLY_ROUTE_H

#include "wire/job.h"

enum route_ignored {
    ROUTE_FOLLOWED, /* nothing was ignored */
    ROUTE_TOPIC,    /* not allowed; its partition is ignored, too */
    ROUTE_PARTITION_ALONE,
    ROUTE_PARTITION_MALFORMED
};

#define ROUTE_BY_KEY (-1) /* RD_KAFKA_PARTITION_UA */

struct reply_route {
    const char *topic; /* borrowed from allowed or default_topic */
    int32_t partition; /* ROUTE_BY_KEY: by the key */
    enum route_ignored ignored; /* which of the job's headers */
    struct headers headers;
};

/* allowed: NULL-terminated, may be NULL. The caller ends ret_route->headers with headers_finish. */
void reply_route(const struct record *record, const struct job *job, const char *default_topic,
                 const char *const *allowed, struct reply_route *ret_route);

#endif
