/* Where assignments begin. Of a fresh one: at what was committed for it, with the completed set above that (offset_codec.h), so
 * that what was done before isn't done again; where nothing is committed, where kafka.auto.offset.reset says. Of one whose
 * place isn't in the log any more: at the log's first record.
 *
 *     rebalance ─ask─▶ open ─▶ committed offsets of all, one request ─▶ ends and beginnings of logs, one request a broker
 *               ◀─take── found ◀──────────────────────────────────────────────────────────┘
 *
 * A thread of its own, chat-restore, asks, since librdkafka's calls block: so the intake goes on polling, whatever the brokers
 * do. What one answer tells is found at once; the rest is asked again, for as long as it is ours. Above all that is an offset
 * in a transaction that another worker left open: it is UNSTABLE until the transaction has ended by its time-out.
 *
 * All calls: intake thread, and they block never but for set_restore_stop. */
#ifndef CHAT_INTAKE_SET_RESTORE_H
#define CHAT_INTAKE_SET_RESTORE_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

#include "settings/settings.h"
#include "task/partition.h"

struct set_restore;

/* NULL: its thread can't be started. Keeps both. */
struct set_restore *set_restore_create(rd_kafka_t *consumer, const struct settings *settings);
/* Waits for a call under way: two seconds at most. */
void set_restore_stop(struct set_restore *restore);
void set_restore_destroy(struct set_restore *restore); /* stopped, before the consumer; NULL is fine */

/* Where does it begin? The set is put into the partition before the answer is there. Takes a reference; one that is revoked
 * meanwhile is forgotten. */
void set_restore_ask(struct set_restore *restore, struct partition *partition);
/* Where does its log begin? */
void set_restore_ask_log(struct set_restore *restore, struct partition *partition);

struct assignment_start {
    struct partition *partition; /* the caller's reference; it may be revoked by now */
    int64_t offset;              /* RD_KAFKA_OFFSET_INVALID: nothing is committed, and auto.offset.reset is error */
    bool of_log;                 /* set_restore_ask_log's */
};
bool set_restore_take(struct set_restore *restore, struct assignment_start *ret); /* false: nothing new is known */

#endif
