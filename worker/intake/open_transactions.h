/* Says which transaction somebody should end: one that stays open among the jobs hides what stands behind it from readers of
 * committed records. A process that died leaves one until its time-out; a broker may leave one for ever (KAFKA-20734:
 * docs/delivery-guarantees.md). From inside it looks like an idle topic. (One that holds back a committed offset:
 * set_restore.h.)
 *
 * A partition's last stable offset is where its oldest open transaction begins: as long as that stays the same below the
 * log's end, it is the same transaction. What stands still for bound_ms is said once, as a warning that names the cure, and
 * again if it happens again.
 *
 * chat-group's thread (group_watch.h) looks, since the call blocks: for ANSWER_MS at the most, one request a broker, whatever
 * the number of partitions; none where all is read. The rule is pure. */
#ifndef CHAT_INTAKE_OPEN_TRANSACTIONS_H
#define CHAT_INTAKE_OPEN_TRANSACTIONS_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

/* ---- the rule ---- */

struct standstill { /* zeroes: nothing stands still */
    bool stands;
    bool reported;
    int64_t offset; /* the first that can't be read */
    int64_t since_ms;
};

/* What a look found: the last stable offset and the log's end. True: it has stood still for bound_ms, and that wasn't said yet. */
bool standstill_look(struct standstill *standstill, int64_t stable, int64_t end, int64_t now_ms, int64_t bound_ms);

/* ---- the watch ---- */

struct open_transactions;

/* bound_ms: longer than transactions last that end by themselves. Keeps the consumer. */
struct open_transactions *open_transactions_create(rd_kafka_t *consumer, int64_t bound_ms);
void open_transactions_destroy(struct open_transactions *open); /* NULL is fine */
void open_transactions_look(struct open_transactions *open);

#endif
