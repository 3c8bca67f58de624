/* Finds transactions that an operator should abort: one that stays open in the jobs' topic hides all later records from read_committed
 * consumers. A process that died leaves one until its time-out; a broker may leave one for ever (KAFKA-20734:
 * docs/delivery-guarantees.md). To this consumer the topic looks idle. (A transaction that holds back a committed offset:
 * set_restore.h.)
 *
 * A partition's last stable offset is where its oldest open transaction begins: as long as that stays the same below the
 * log end offset, it is the same transaction. One that stays open for bound_ms is logged once, as a warning with the remedy, and
 * the next one again.
 *
 * Called by chat-group (group_watch.h), since the call blocks: for ANSWER_MS at most, one request a broker, whatever
 * the number of partitions; no request where all is read. The rule is pure. */
#ifndef CHAT_INTAKE_OPEN_TRANSACTIONS_H
#define CHAT_INTAKE_OPEN_TRANSACTIONS_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

/* ---- the rule ---- */

struct standstill { /* zeroes: no open transaction */
    bool stands;
    bool reported;
    int64_t offset; /* the last stable offset: the first that can't be read */
    int64_t since_ms;
};

/* stable, end: last stable offset and log end offset now. True: stable hasn't moved for bound_ms, and that wasn't logged yet. */
bool standstill_look(struct standstill *standstill, int64_t stable, int64_t end, int64_t now_ms, int64_t bound_ms);

/* ---- the watch ---- */

struct open_transactions;

/* bound_ms: longer than transactions last that end by themselves. Borrows the consumer. */
struct open_transactions *open_transactions_create(rd_kafka_t *consumer, int64_t bound_ms);
void open_transactions_destroy(struct open_transactions *open); /* NULL is fine */
void open_transactions_look(struct open_transactions *open);

#endif
