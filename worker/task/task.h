/* One job on its way through the worker, from intake to the acknowledgement of its reply.
 *
 * Held by one stage at a time (dispatcher, begin thread, pool thread, completion, publisher); the holder alone writes it. Counted
 * references only keep it alive: for the publisher until the last acknowledgement, for the renewer while it renews the claim.
 *
 * This struct contains the job, its results, and what one stage passes to another. What a stage keeps of a task for itself is a part:
 * a struct of that stage's folder, whose header documents its owner, its thread and its lifetime (NULL
 * otherwise). The types of parts are incomplete here: task/ depends on no stage. Parts are made and freed by task_part.h, which counts
 * their memory; remaining parts are freed with the task. */
#ifndef CHAT_TASK_TASK_H
#define CHAT_TASK_TASK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "task/partition.h"
#include "task/task_steps.h"
#include "wire/job.h"
#include "wire/record.h"

/* The result of an attempt, which completion carries out (task/outcome.h). */
enum outcome {
    OUTCOME_NONE,
    OUTCOME_OK,     /* answered: finish(ok), publish the reply */
    OUTCOME_DEAD,   /* failed for good: finish(dead) when claimed, publish error reply and dead letter */
    OUTCOME_CANCELLED, /* by a control record: finish(cancelled) when claimed, else the store's cancel; publish the reply, no dead letter */
    OUTCOME_STORED, /* ended before: publish the stored reply */
    OUTCOME_RETRY,  /* a failure that counts as an attempt: release(retry), begin again when due */
    OUTCOME_SUSPECT, /* may have crashed a process: not claimed; begin again when it may run among few, or alone */
    OUTCOME_WAIT,   /* no provider to ask, or another worker's claim: release(drop) if claimed, begin again when due */
    OUTCOME_DROP    /* revoked or draining: release(drop) if claimed, free */
};

/* A call that a provider's rate allows later. quota/spending.h reserves it, completion parks its task until then, the dispatcher may
 * make it earlier while the task is parked, under its lock, and spending.h reads it when the task runs again. */
struct rated_start {
    bool waits;      /* there is such a call; else the other members are undefined */
    size_t provider; /* index of settings.providers */
    int64_t due_ms;  /* clock_mono_ms */
};

struct task {
    /* Set at intake. */
    atomic_int references;
    struct record record;
    struct job job;
    struct partition *partition; /* a reference */
    int64_t received_ms;         /* clock_mono_ms */
    int64_t received_wall_ms;    /* Unix time */
    struct task *prev, *next;    /* in a list (task_list.h): used by the list's owner */

    /* Memory charged in jobs_alive_bytes, besides the parts: written by the holder, in task_weigh_*. */
    size_t bytes;              /* input_bytes + end_bytes */
    size_t input_bytes;        /* see task_weigh_input */
    size_t end_bytes;          /* see task_weigh_end */
    size_t published_bytes[2]; /* the Kafka client's copies: of the reply, of the dead letter */

    /* The stages' parts. */
    struct dispatch_entry *entry;      /* dispatch/dispatch_entry.h */
    struct begin_op *begin;            /* session/session.h */
    struct held_claim *held;           /* session/held_claims.h */
    struct task_failures *failures;    /* breakers/task_failures.h */
    struct reservations *reservations; /* quota/reservations.h */
    struct asking *asking;             /* chat/asking.h */
    struct end *end;                   /* completion/end.h */

    struct task_steps steps; /* when it came from stage to stage */

    /* Set by the control thread, under the dispatcher's lock: the holder ends the task as cancelled, unless it has ended. */
    int64_t cancelled_ms; /* clock_mono_ms: when the cancel was read; written before cancelled, and never again */
    atomic_bool cancelled;

    /* From begin (session/), for the ends that follow. Only the holder accesses them: the renewer uses held_claims.h's copies. */
    int64_t begun_ms;        /* clock_mono_ms: when the last begin was answered; 0: never */
    int64_t seen_ms;         /* clock_mono_ms: received_ms, or earlier, when another worker or an earlier assignment received it */
    int64_t fails, crashes;  /* as counted in Redis: classified failures, claims found unreleased */
    int64_t first_failed_ms; /* from Redis: Unix time of the first failure; 0: none */
    bool claim_is_others;    /* another worker holds the claim: then the dispatcher doesn't treat the task as a suspect */
    int cancel_told;         /* how often a cancel was left in Redis for that worker: the task waits for its end */

    /* From the journey (chat/) and quota/, for the reply. */
    const char *provider; /* name, borrowed from settings; NULL: none was asked */
    int64_t context_ms;   /* durations */
    int64_t llm_ms;
    struct rated_start rated; /* WAIT, and until its call begins */

    /* From outcome.h, for completion: how the attempt ended. */
    enum outcome outcome;
    struct error error;    /* DEAD, RETRY, WAIT: why */
    char *said;            /* owned: the provider's own text for error, for DEAD only; NULL: none */
    char *reply;           /* owned; the reply for the replies topic and the store */
    char *turn;            /* owned; history element, until it is stored in Redis */
    bool stored_dead;      /* STORED: the job had ended as dead, so that a dead letter is owed, too */
    int64_t wait_ms;       /* RETRY, WAIT: how long */
    int unavailable_waits; /* WAITs in a row: the backoff's exponent; also the journey's */

    /* From session_settle, for completion and liveness.c. */
    bool settled;         /* the end is stored in Redis, or needn't be */
    atomic_bool refused;  /* Redis refused this job's operation with an error of its own: to be repeated */
};

struct task *task_create(struct record *record, struct partition *partition); /* takes ownership of *record's memory */
/* Charge the task's memory, besides its parts: at intake the record and the decoded job; with its end the reply, the turn until it is stored in Redis, and
 * the Kafka client's copies of the reply and the dead letter. History and answer of a running job aren't charged: threads bound them. Called by the holder. */
void task_weigh_input(struct task *task);
void task_weigh_end(struct task *task);
struct task *task_ref(struct task *task);
void task_unref(struct task *task); /* NULL is fine */

/* Classified failures, this one included. */
int task_attempts(const struct task *task);
/* clock_mono_ms by which the job must have ended, by its own deadline (from the record's timestamp, or from when it was first
 * received: wire/record_time.h) and llm.deadline_ms (from begin). Its own deadline is the same in every attempt, even if the clock is set. */
int64_t task_until_ms(const struct task *task, int64_t llm_deadline_ms);

#endif
