/* A Kafka record, copied out of librdkafka: key, value, headers, topic, partition and offset. No part of it
 * refers to librdkafka, so that a slow job never pins a fetch buffer
 * nor blocks the close of a consumer. */
#ifndef CHAT_WIRE_RECORD_H
#define CHAT_WIRE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct header {
    char *name;
    void *value; /* NULL: a null value, which in Kafka differs from an empty one */
    size_t size; /* bytes */
};

struct headers {
    struct header *items;
    size_t count;
};

struct record {
    char *topic;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms; /* Unix time; -1: the record has none */
    void *key;            /* NULL: null key */
    size_t key_size;
    void *value; /* NULL: tombstone */
    size_t value_size;
    struct headers headers;
};

/* Frees the members' memory, not the struct; all-zero is fine. */
void record_finish(struct record *record);
/* The memory that a record owns: a megabyte of headers of two bytes each takes forty. */
size_t record_bytes(const struct record *record);

void headers_finish(struct headers *headers);
/* Appends a copy. value may be NULL. */
void headers_add(struct headers *headers, const char *name, const void *value, size_t size);
/* Replaces the first header of that name and removes the others, or appends: headers never grow by repetition. */
void headers_set(struct headers *headers, const char *name, const void *value, size_t size);
void headers_set_text(struct headers *headers, const char *name, const char *text);
void headers_remove(struct headers *headers, const char *name);
/* The last header of that name (Kafka's rule), or NULL. */
const struct header *headers_find(const struct headers *headers, const char *name);

#endif
