/* The journey of one job on an event loop: the steps of journey.c, in the same order, under the same names. Where a thread blocks there, this returns, and is
 * called back.
 *
 *   journey_loop_begin ─▶ journey_loop_go_on ─┬▶ over (called): the task has its outcome
 *                                ▲            └▶ suspended: HTTP (http_loop.h calls back), or Redis (take_line.h, by wake) ─┐
 *                                └──────────────────────────────────────────────────────────────────────────────────────────┘
 *
 * Thread: the loop's. Nothing blocks. Claims, finishes and replies go through the begin and completion threads: the batched form alone. */
#ifndef CHAT_CHAT_JOURNEY_LOOP_H
#define CHAT_CHAT_JOURNEY_LOOP_H

#include "chat/journey_steps.h"

struct journey_loop {
    /* Set by the caller; with service, task, pool and cancel of journey, and all else zero. */
    struct journey journey;
    void (*over)(struct journey_loop *job); /* the loop's thread: the last call for this job */
    void (*wake)(struct journey_loop *job); /* any thread: journey_loop_go_on is to be called soon */

    enum journey_place { AT_CONTEXTS, AT_MAY_ASK, AT_ASK, AT_LATER, AT_CONCLUDE } at;
    struct context_fetching *fetching;
    struct llm_asking *asking;
    bool takes; /* suspended for Redis: only wake's call may go on */
    bool took;  /* that call is due, or was */
};

void journey_loop_begin(struct journey_loop *job);
/* From wake, or since the job was cancelled, or since a host's address is known: does nothing while the job waits for something else. */
void journey_loop_go_on(struct journey_loop *job);
/* What it waits for over HTTP; NULL: nothing. */
struct http_client *journey_loop_client(const struct journey_loop *job);

#endif
