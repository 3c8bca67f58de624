#include "wire/reply_route.h"

#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"

static bool is_text(const struct header *header, const char *text)
{
    return header->size == strlen(text) && memcmp(header->value, text, header->size) == 0;
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

/* CloudEvents' Kafka binding: a record is an event in binary mode when it carries ce_specversion. Ids are unique
 * within a source, and one job has one reply, so the job's id makes a stable one: a repeat is seen as one. */
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
                 const char *const *allowed, struct reply_route *ret_route, bool *ret_refused)
{
    static const char *const copied[] = {"traceparent", "tracestate", "kafka_correlationId"};

    struct reply_route route = {.topic = default_topic};
    bool refused = false;
    const struct header *wish = headers_find(&record->headers, "kafka_replyTopic");
    if (wish != NULL && wish->value != NULL) {
        const char *topic = find_topic(wish, default_topic, allowed);
        refused = topic == NULL;
        route.topic = refused ? default_topic : topic;
    }
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++) {
        const struct header *header = headers_find(&record->headers, copied[i]);
        if (header != NULL)
            headers_add(&route.headers, copied[i], header->value, header->size);
    }
    if (headers_find(&record->headers, "ce_specversion") != NULL)
        add_cloud_event(job, &route.headers);
    *ret_route = route;
    *ret_refused = refused;
}
