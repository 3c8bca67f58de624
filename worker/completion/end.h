/* An end: the records to be published for an ended job, their form and their state, the same in both publishers. It is
 * completion's part of a task: made by end_owe as the task is put to the publisher, and freed with the task, since delivery reports may
 * come for it until then; NULL before. Only the publisher's thread accesses it once it was put. The state is changed by end_queue.c alone, which
 * asserts that the change is one of these:
 *
 *   NEW ─put─▶ OWED ─enqueued─▶ SENT ─all of it acknowledged, or its transaction committed─▶ DONE
 *               ▲ ▲              │ │
 *               │ │◀─ aborted ───┘ └─ a record of it was refused, or found no room ─▶ INCOMPLETE
 *               │ └──────────────── once nothing of it is under way ──────────────────┘ │
 *               └── due ── HELD ◀── refused in every form ──────────────────────────────┘
 *
 * and from all but NEW and DONE to DROPPED: its partition was revoked, or the process ends. */
#ifndef CHAT_COMPLETION_END_H
#define CHAT_COMPLETION_END_H

#include <stdbool.h>
#include <stdint.h>

#include "task/task.h"

enum publish_state {
    PUBLISH_NEW,        /* not put yet */
    PUBLISH_OWED,       /* to be enqueued, in its turn */
    PUBLISH_SENT,       /* with the Kafka client; exactly-once: in the open transaction */
    PUBLISH_INCOMPLETE, /* as SENT, but one of its records failed: sent again once none is under way */
    PUBLISH_HELD,       /* refused in every form: owed again from not_before_ms on */
    PUBLISH_DONE,
    PUBLISH_DROPPED,
    PUBLISH_STATES
};

struct end {
    enum publish_state state;
    uint64_t turn;         /* the order of put */
    int under_way;         /* its records in the client, without a delivery report yet */
    bool apart;            /* refused together with others: it is sent alone, to find the faulty record */
    bool admitted;         /* exactly-once: may enter the transaction, by the last txn_admit (completion/txn_admission.h) */
    int64_t not_before_ms; /* clock_mono_ms; INCOMPLETE: to be HELD until then, 0: OWED at once */

    bool reply_owed;          /* not yet acknowledged */
    bool dead_letter_owed;    /* not yet acknowledged */
    bool own_partition_refused; /* the one that kafka_replyPartition names: the reply is partitioned by its key */
    bool own_topic_refused;   /* the one that kafka_replyTopic names: the reply is sent to replies_topic */
    bool reply_replaced;      /* by an error reply: Kafka refused the original */
    bool value_omitted;       /* from the dead letter: too large */
};

/* NEW: task->reply is owed, and perhaps a dead letter. Completion thread, before publisher_put; once. */
void end_owe(struct task *task, bool dead_letter);

#endif
