/* Where an end, what a job owes Kafka once it has ended, is on its way: one explicit state, the same in both publishers. It lives in
 * its task (task/task.h) and is moved by completion/end_queue.c alone, which asserts that the move is one of these:
 *
 *   NEW ─put─▶ OWED ─enqueued─▶ SENT ─all of it acknowledged, or its transaction committed─▶ DONE
 *               ▲ ▲              │ │
 *               │ │◀─ aborted ───┘ └─ a record of it was refused, or found no room ─▶ INCOMPLETE
 *               │ └──────────────── once nothing of it is under way ──────────────────┘ │
 *               └── due ── HELD ◀── refused in every form ──────────────────────────────┘
 *
 * and from all but NEW and DONE to DROPPED: its partition is another worker's, or the process ends. */
#ifndef CHAT_TASK_END_H
#define CHAT_TASK_END_H

#include <stdbool.h>
#include <stdint.h>

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
};

#endif
