/* The ids of cancelled jobs, so that a job whose record is still in Kafka is ended when it is read. Bounded: the newest
 * CANCELLED_IDS_MAX and CANCELLED_IDS_BYTES_MAX, each for CANCELLED_KEPT_MS. Pure; the caller locks. */
#ifndef CHAT_DISPATCH_CANCELLED_IDS_H
#define CHAT_DISPATCH_CANCELLED_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CANCELLED_IDS_MAX 100000
#define CANCELLED_IDS_BYTES_MAX ((size_t)16 << 20)
#define CANCELLED_KEPT_MS (24 * 3600 * INT64_C(1000))

struct cancelled_id;

/* All zero is empty. */
struct cancelled_ids {
    struct cancelled_id *oldest; /* a hash table, in the order of insertion */
    size_t count;
    size_t bytes; /* of their text */
};

/* An id that is known already becomes the newest. */
void cancelled_ids_add(struct cancelled_ids *ids, const char *id, int64_t now_ms);
bool cancelled_ids_has(const struct cancelled_ids *ids, const char *id, int64_t now_ms);
void cancelled_ids_finish(struct cancelled_ids *ids);

#endif
