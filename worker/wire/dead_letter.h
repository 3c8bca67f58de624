/* Dead letters: a job's unchanged record, with headers about its failure. Pure; any thread. For consumers: docs/jobs.md, "A dead letter".
 * Header names: `__dlq.errors.*` as Apache Kafka's share groups write them, plus `chat.*`. */
#ifndef CHAT_WIRE_DEAD_LETTER_H
#define CHAT_WIRE_DEAD_LETTER_H

#include "base/error.h"
#include "wire/record.h"

struct dead_letter_cause {
    const char *group;
    const struct error *error;
    const char *provider_message; /* the provider's error text, valid UTF-8; NULL: none */
    int attempts;               /* classified failures of this job, this one included */
    int64_t first_failed_at_ms; /* Unix time */
    int64_t last_failed_at_ms;
};

/* Fills *ret (old content is not freed) with the record's headers and the dead-letter headers, which are set, not appended: a record
 * that fails again doesn't grow. End with headers_finish. */
void dead_letter_headers(const struct record *record, const struct dead_letter_cause *cause, struct headers *ret);
/* Marks a dead letter whose value didn't fit the topic's limit: `chat.value.omitted` = its size in bytes. */
void dead_letter_mark_omitted(struct headers *headers, size_t value_size);

/* For replay: topic, partition and offset of the original record. False when they are missing or malformed. */
struct dead_letter_origin {
    char *topic; /* owned */
    int32_t partition;
    int64_t offset;
};
bool dead_letter_origin(const struct headers *headers, struct dead_letter_origin *ret);
/* Removes every header that dead_letter_headers sets, and `chat.value.omitted`. */
void dead_letter_strip(struct headers *headers);

#endif
