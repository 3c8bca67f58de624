#include "wire/reply_route.h"

#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"

static bool is_text(const struct header *header, const char *text)
{
    return header->size == strlen(text) && memcmp(header->value, text, header->size) == 0;
}

/* False: malformed. Bytes as written by Java's ByteBuffer.putInt. */
static bool read_partition(const struct header *header, int32_t *ret)
{
    const uint8_t *bytes = header->value;
    if (header->size != 4 || bytes[0] > 0x7f)
        return false;
    *ret = bytes[0] << 24 | bytes[1] << 16 | bytes[2] << 8 | bytes[3];
    return true;
}

static const char *find_topic(const struct header *wish, const char *default_topic, const char *const *allowed)
{
    if (is_text(wish, default_topic))
        return default_topic;
    for (; allowed != NULL && *allowed != NULL; allowed++)
        if (is_text(wish, *allowed))
            return *allowed;
    return NULL;
}

static const struct header *find_filled(const struct record *record, const char *name)
{
    const struct header *header = headers_find(&record->headers, name);
    return header != NULL && header->value != NULL ? header : NULL;
}

static void follow_wishes(const struct record *record, const char *default_topic, const char *const *allowed, struct reply_route *route)
{
    const struct header *topic = find_filled(record, "kafka_replyTopic");
    const struct header *partition = find_filled(record, "kafka_replyPartition");
    const char *found = topic != NULL ? find_topic(topic, default_topic, allowed) : NULL;
    if (found != NULL)
        route->topic = found;
    if (topic != NULL && found == NULL)
        route->ignored = ROUTE_TOPIC;
    else if (partition != NULL && topic == NULL)
        route->ignored = ROUTE_PARTITION_ALONE;
    else if (partition != NULL && !read_partition(partition, &route->partition))
        route->ignored = ROUTE_PARTITION_MALFORMED;
}

/* CloudEvents' Kafka binding: a record is an event in binary mode when it has ce_specversion. Ids are unique
 * within a source, and one job has one reply, so the job's id makes a stable one: a duplicate is recognised. */
static void add_cloud_event(const struct job *job, struct headers *headers)
{
    AUTO_FREE char *id = xasprintf("%s.reply", job->id);
    headers_set_text(headers, "ce_specversion", "1.0");
    headers_set_text(headers, "ce_id", id);
    headers_set_text(headers, "ce_source", "/chat-worker");
    headers_set_text(headers, "ce_type", "chat.reply");
    headers_set_text(headers, "content-type", "application/json");
}

void reply_route(const struct record *record, const struct job *job, const char *default_topic,
                 const char *const *allowed, struct reply_route *ret_route)
{
    static const char *const copied[] = {"traceparent", "tracestate", "kafka_correlationId"};

    struct reply_route route = {.topic = default_topic, .partition = ROUTE_BY_KEY};
    follow_wishes(record, default_topic, allowed, &route);
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++) {
        const struct header *header = headers_find(&record->headers, copied[i]);
        if (header != NULL)
            headers_add(&route.headers, copied[i], header->value, header->size);
    }
    if (headers_find(&record->headers, "ce_specversion") != NULL)
        add_cloud_event(job, &route.headers);
    *ret_route = route;
}
