/* A delta: one piece of an answer that is still being streamed, the value of a record on the deltas topic. Pure; any thread. For consumers: docs/jobs.md,
 * "A delta".
 *
 *   {"job":"01JD…","session":"s-17","epoch":1,"try":0,"seq":4,"delta":"ello"}
 *   {"job":"01JD…","session":"s-17","epoch":1,"try":0,"seq":9,"final":true}
 *
 * A job may be answered more than once (a redelivery, another provider after one that failed): each time is a stream of its
 * own, identified by (epoch, try), numbered from 0. Readers keep the highest and drop lower ones; when a higher one begins,
 * the text shown before is void. `final` means that the stream is complete; only the reply means that the job is done. */
#ifndef CHAT_WIRE_DELTA_H
#define CHAT_WIRE_DELTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/error.h"

struct delta {
    const char *job;
    const char *session; /* NULL: none */
    int64_t epoch;       /* of the claim: grows with each begin */
    int64_t try;         /* within the epoch: grows when another call takes over */
    int64_t seq;
    const char *text; /* new text of the content; NULL: none */
    size_t text_size;
    const char *reasoning; /* NULL: none */
    size_t reasoning_size;
    bool final;
};

/* JSON text without a newline, owned by the caller. Texts are UTF-8. */
char *delta_encode(const struct delta *delta) MUST_CHECK;

/* *ret borrows from *ret_root, which the caller frees by json_decref. */
enum status delta_decode(const void *value, size_t size, struct delta *ret, json_t **ret_root) MUST_CHECK;

/* Is a of a later stream than b (1), of an earlier one (-1), or of the same (0)? */
int delta_compare(const struct delta *a, const struct delta *b);

#endif
