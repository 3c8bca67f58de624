#include "wire/dead_letter.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"

#define TOPIC_NAME "__dlq.errors.topic"
#define PARTITION_NAME "__dlq.errors.partition"
#define OFFSET_NAME "__dlq.errors.offset"
#define OMITTED_NAME "chat.value.omitted"
#define PROVIDER_MESSAGE_NAME "chat.error.provider.message"

static void set_number(struct headers *headers, const char *name, int64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, number);
    headers_set_text(headers, name, text);
}

/* ISO 8601, UTC, milliseconds: 2026-11-23T10:00:00.123Z */
static void set_time(struct headers *headers, const char *name, int64_t wall_ms)
{
    int64_t ms = wall_ms % 1000;
    time_t seconds = (time_t)(wall_ms / 1000 - (ms < 0));
    struct tm utc;
    char day[40] = "";
    char text[48];
    if (gmtime_r(&seconds, &utc) == NULL) {
        headers_remove(headers, name); /* a year beyond int: no time is better than a wrong one */
        return;
    }
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text, sizeof text, "%s.%03dZ", day, (int)(ms < 0 ? ms + 1000 : ms));
    headers_set_text(headers, name, text);
}

void dead_letter_headers(const struct record *record, const struct dead_letter_cause *cause, struct headers *ret)
{
    struct headers headers = {0};
    for (size_t i = 0; i < record->headers.count; i++) {
        const struct header *header = &record->headers.items[i];
        headers_add(&headers, header->name, header->value, header->size);
    }
    headers_remove(&headers, OMITTED_NAME); /* was about an earlier dead letter's value */
    headers_set_text(&headers, TOPIC_NAME, record->topic);
    set_number(&headers, PARTITION_NAME, record->partition);
    set_number(&headers, OFFSET_NAME, record->offset);
    headers_set_text(&headers, "__dlq.errors.group", cause->group);
    set_number(&headers, "__dlq.errors.delivery.count", cause->attempts);
    headers_set_text(&headers, "__dlq.errors.message", cause->error->message);
    headers_set_text(&headers, "chat.error.class", error_class_name(cause->error->class));
    headers_set_text(&headers, "chat.error.code", cause->error->code);
    headers_remove(&headers, PROVIDER_MESSAGE_NAME);
    if (cause->provider_message != NULL)
        headers_set_text(&headers, PROVIDER_MESSAGE_NAME, cause->provider_message);
    set_number(&headers, "chat.attempts", cause->attempts);
    set_time(&headers, "chat.first.failed.at", cause->first_failed_at_ms);
    set_time(&headers, "chat.last.failed.at", cause->last_failed_at_ms);
    *ret = headers;
}

void dead_letter_mark_omitted(struct headers *headers, size_t value_size)
{
    set_number(headers, OMITTED_NAME, (int64_t)value_size);
}

void dead_letter_strip(struct headers *headers)
{
    static const char *const names[] = {
        TOPIC_NAME,        PARTITION_NAME,          OFFSET_NAME,
        OMITTED_NAME,      "__dlq.errors.group",    "__dlq.errors.delivery.count",
        "chat.attempts",   "__dlq.errors.message",  "chat.error.class",
        "chat.error.code", "chat.first.failed.at",  "chat.last.failed.at",
        PROVIDER_MESSAGE_NAME,
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        headers_remove(headers, names[i]);
}

/* Decimal digits only, at most max. */
static bool read_number(const struct headers *headers, const char *name, int64_t max, int64_t *ret)
{
    const struct header *header = headers_find(headers, name);
    if (header == NULL || header->value == NULL || header->size == 0)
        return false;
    int64_t number = 0;
    for (size_t i = 0; i < header->size; i++) {
        int digit = ((const char *)header->value)[i] - '0';
        if (digit < 0 || digit > 9 || number > (max - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *ret = number;
    return true;
}

bool dead_letter_origin(const struct headers *headers, struct dead_letter_origin *ret)
{
    int64_t partition;
    int64_t offset;
    const struct header *topic = headers_find(headers, TOPIC_NAME);
    if (topic == NULL || topic->value == NULL || topic->size == 0 || memchr(topic->value, '\0', topic->size) != NULL)
        return false;
    if (!read_number(headers, PARTITION_NAME, INT32_MAX, &partition) ||
        !read_number(headers, OFFSET_NAME, INT64_MAX, &offset))
        return false;
    *ret = (struct dead_letter_origin){
        .topic = xmemdup0(topic->value, topic->size), .partition = (int32_t)partition, .offset = offset};
    return true;
}
