/* An end, what a job owes Kafka once it has ended: in which form, and where it is on its way, the same in both publishers. It is
 * completion's part of a task: made by end_owe as the task is put to the publisher, and freed with the task, since reports of the Kafka client may
 * come for it until then; NULL before. Only the publisher's thread touches it once it was put. The state is moved by end_queue.c alone, which
 * asserts that the move is one of these:
 *
 *   NEW ─put─▶ OWED ─enqueued─▶ SENT ─all of it acknowledged, or its transaction committed─▶ DONE
 *               ▲ ▲              │ │
 *               │ │◀─ aborted ───┘ └─ a record of it was refused, or found no room ─▶ INCOMPLETE
 *               │ └──────────────── once nothing of it is under way ──────────────────┘ │
 *               └── due ── HELD ◀── refused in every form ──────────────────────────────┘
 *
 * and from all but NEW and DONE to DROPPED: its partition is another worker's, or the process ends. */
#ifndef CHAT_COMPLETION_END_H
#define CHAT_COMPLETION_END_H

#include <stdbool.h>
#include <stdint.h>

#include "task/task.h"

enum publish_state {
    PUBLISH_NEW,        /* not put yet */
    PUBLISH_OWED,       /* to be enqueued, in its turn */
    PUBLISH_SENT,       /* with the Kafka client; exactly-once: in the open transaction */
    PUBLISH_INCOMPLETE, /* the same, but for a record of it: goes again once nothing of it is under way */
    PUBLISH_HELD,       /* refused in every form: not before not_before_ms */
    PUBLISH_DONE,
    PUBLISH_DROPPED,
    PUBLISH_STATES
};

struct end {
    enum publish_state state;
    uint64_t turn;         /* the order of put */
    int under_way;         /* its records that the client has, whose reports are still to come */
    bool apart;            /* refused in company: it goes by itself, which shows whose fault it was */
    bool admitted;         /* exactly-once: may enter the transaction; as of the last look (completion/txn_admission.h) */
    int64_t not_before_ms; /* clock_mono_ms; INCOMPLETE: to be HELD until then, 0: OWED at once */

    bool reply_owed;          /* not yet acknowledged */
    bool dead_letter_owed;    /* the same */
    bool own_partition_refused; /* the one that kafka_replyPartition names: the reply goes by its key */
    bool own_topic_refused;   /* the one that kafka_replyTopic names: the reply goes to replies_topic */
    bool reply_replaced;      /* by an error reply: Kafka refused the first */
    bool value_omitted;       /* from the dead letter: too large */
};

/* NEW: task->reply is owed, and perhaps a dead letter. Completion thread, before publisher_put; once. */
void end_owe(struct task *task, bool dead_letter);

#endif
