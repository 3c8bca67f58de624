/* Where assignments begin. A new one: at its committed offset, with the completed set above that (offset_codec.h), so
 * that finished jobs aren't done again; without a committed offset, by kafka.auto.offset.reset. One whose
 * position isn't in the log any more: at the log's first record.
 *
 *     rebalance ─ask─▶ open ─▶ committed offsets of all, one request ─▶ ends and beginnings of logs, one request a broker
 *               ◀─take── found ◀──────────────────────────────────────────────────────────┘
 *
 * A thread of its own, chat-restore, makes librdkafka's blocking calls, so that the intake goes on polling, whatever the brokers
 * do. Each start that a response contains is found at once; the others are asked again, as long as they are assigned. Mostly that is an offset
 * in a transaction that another worker left open: it is UNSTABLE until the transaction has ended by its time-out.
 *
 * All calls: intake thread; only set_restore_stop blocks. */
#ifndef CHAT_INTAKE_SET_RESTORE_H
#define CHAT_INTAKE_SET_RESTORE_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

#include "settings/settings.h"
#include "task/partition.h"

struct set_restore;

/* NULL: its thread can't be started. Borrows both. */
struct set_restore *set_restore_create(rd_kafka_t *consumer, const struct settings *settings);
/* Waits for a call under way: two seconds at most. */
void set_restore_stop(struct set_restore *restore);
void set_restore_destroy(struct set_restore *restore); /* stopped, before the consumer; NULL is fine */

/* Where does the partition begin? Its completed set is restored before set_restore_take returns it. Takes a reference; a partition revoked
 * meanwhile is skipped. */
void set_restore_ask(struct set_restore *restore, struct partition *partition);
/* Where does the partition's log begin? */
void set_restore_ask_log(struct set_restore *restore, struct partition *partition);

struct assignment_start {
    struct partition *partition; /* the caller's reference; it may be revoked by now */
    int64_t offset;              /* RD_KAFKA_OFFSET_INVALID: nothing is committed, and auto.offset.reset is error */
    bool of_log;                 /* the answer to set_restore_ask_log */
};
bool set_restore_take(struct set_restore *restore, struct assignment_start *ret); /* false: nothing new is known */

#endif
