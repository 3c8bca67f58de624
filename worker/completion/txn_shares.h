/* What a transaction commits for the partitions of its ends: for each an offset and its completed set. No thread, no I/O. */
#ifndef CHAT_COMPLETION_TXN_SHARES_H
#define CHAT_COMPLETION_TXN_SHARES_H

#include <librdkafka/rdkafka.h>

#include "base/error.h"
#include "completion/end_queue.h"
#include "completion/transaction.h"

struct partitions {
    struct partition **items; /* references */
    size_t count, capacity;
};

/* Each once. */
void partitions_add(struct partitions *partitions, struct partition *partition);
void partitions_clear(struct partitions *partitions);
void partitions_finish(struct partitions *partitions);

/* The offsets of the partition's ends for which `is` is true (NULL: of all), rising. ret has room for them. Returns how many. */
size_t offsets_of(const struct task_list *list, const struct partition *partition, bool (*is)(const struct task *task), int64_t *ret);
void offsets_sort(int64_t *offsets, size_t n);

struct share {
    struct partition *partition; /* borrowed */
    int64_t *with;               /* the offsets of its ends, rising; borrowed */
    size_t n;
    int64_t offset;
    char *metadata; /* owned */
};

struct shares {
    struct share *items;
    size_t count;
    int64_t *offsets;
};

/* Shares for the ends in the transaction (ends->sent), and for the offers. False: a completed set doesn't fit into the
 * commit metadata. *ret must be finished in either case. */
bool shares_make(const struct end_queue *ends, const struct partitions *offers, struct shares *ret) MUST_CHECK;
void shares_finish(struct shares *shares);
/* False, and why: a share's partition was revoked, or assigned to another member id than `member`. */
bool shares_are_ours(const struct shares *shares, const char *member, struct stop *why) MUST_CHECK;
/* The caller destroys it. */
rd_kafka_topic_partition_list_t *shares_to_kafka(const struct shares *shares);
/* The broker refused all because one metadata was too long, without naming it: takes the longest. */
void shares_metadata_refused(struct shares *shares);

#endif
