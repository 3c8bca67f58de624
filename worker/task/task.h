/* One job on its way through the worker, from intake to the acknowledgement of its reply.
 *
 * Owned by one place at a time (dispatcher, begin thread, pool thread, completion, publisher); the holder alone writes it. Counted
 * references only let others keep it alive: the publisher until the last acknowledgement, the renewer while it renews the claim.
 *
 * Here stands what a task is, what it has come to, and what one stage leaves for another. What a stage keeps of a task for itself is a part:
 * a struct of that stage's folder, whose header says who may touch it, on which thread, and from when to when it is there (NULL
 * otherwise). The types of parts are incomplete here: task/ knows none of the stages. Parts are made and freed by task_part.h, which counts
 * their memory; those left with the last reference go with the task. */
#ifndef CHAT_TASK_TASK_H
#define CHAT_TASK_TASK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "task/partition.h"
#include "wire/job.h"
#include "wire/record.h"

/* How the journey ended, before completion has carried it out (task/outcome.h). */
enum outcome {
    OUTCOME_NONE,
    OUTCOME_OK,     /* answered: finish(ok), publish the reply */
    OUTCOME_DEAD,   /* bad end: finish(dead) when claimed, publish error reply and dead letter */
    OUTCOME_CANCELLED, /* asked for by a control record: finish(cancelled) when claimed, else the store's cancel; publish the reply, no dead letter */
    OUTCOME_STORED, /* ended before: publish what the store holds */
    OUTCOME_RETRY,  /* failed on its merits: release(retry), begin again when due */
    OUTCOME_SUSPECT, /* crashed a process perhaps: not claimed; begin again when it may run among few, or alone */
    OUTCOME_WAIT,   /* nobody to try, or someone else's claim: release(drop) if claimed, begin again when due */
    OUTCOME_DROP    /* revoked or draining: release(drop) if claimed, forget */
};

/* A call that a provider's rate allows later. quota/spending.h reserves it, completion parks its task until then, the dispatcher may
 * make it sooner while the task is parked, under its lock, and spending.h reads it when the task comes back. */
struct rated_start {
    bool waits;      /* there is one; all else is undefined without */
    size_t provider; /* index of settings.providers */
    int64_t due_ms;  /* clock_mono_ms */
};

struct task {
    /* What it is: set at intake. */
    atomic_int references;
    struct record record;
    struct job job;
    struct partition *partition; /* a reference */
    int64_t received_ms;         /* clock_mono_ms */
    int64_t received_wall_ms;    /* Unix time */
    struct task *prev, *next;    /* the list it is in (task_list.h): its owner's */

    /* What it holds, as in jobs_alive_bytes beside its parts: the holder's, by task_weigh_*. */
    size_t bytes;              /* the next two together */
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

    /* From the control thread, under the dispatcher's lock: whoever holds the task ends it so, unless it has ended. */
    int64_t cancelled_ms; /* clock_mono_ms: when it was heard; written before the next, and then no more */
    atomic_bool cancelled;

    /* From begin (session/), for the ends that follow. The holder's: the renewer, which keeps the task alive, goes by what held_claims.h has of them. */
    int64_t begun_ms;        /* clock_mono_ms: when the last was answered; 0: none was */
    int64_t seen_ms;         /* clock_mono_ms: received_ms, or earlier, when another worker or an earlier assignment saw it */
    int64_t fails, crashes;  /* on its record in Redis: classified failures, claims found unreleased */
    int64_t first_failed_ms; /* the same: Unix time of the first failure; 0: none */
    bool claim_is_others;    /* another worker has it: for the dispatcher, which takes it for no suspect meanwhile */
    int cancel_told;         /* how often that one was told of a cancel: the task waits for its end */

    /* From the journey (chat/) and quota/, for the reply. */
    const char *provider; /* name, borrowed from settings; NULL: none was asked */
    int64_t context_ms;   /* durations */
    int64_t llm_ms;
    struct rated_start rated; /* WAIT, and until its call begins */

    /* From outcome.h, for completion: how the try ended. */
    enum outcome outcome;
    struct error error;    /* DEAD, RETRY, WAIT: why */
    char *said;            /* owned: what the provider itself said of error, for DEAD alone; NULL: nothing */
    char *reply;           /* owned; what goes to the replies topic and the store */
    char *turn;            /* owned; history element, until Redis has it */
    bool stored_dead;      /* STORED: it had ended as dead, so that a dead letter is owed, too */
    int64_t wait_ms;       /* RETRY, WAIT: how long */
    int unavailable_waits; /* WAITs in a row: the backoff's exponent; also the journey's */

    /* From session_settle, for completion and liveness.c. */
    bool settled;         /* Redis has been told; also of one that it needn't be told of */
    atomic_bool refused;  /* it answered, but not this one, for a reason of its own: it is to be told again */
};

struct task *task_create(struct record *record, struct partition *partition); /* takes what *record owns */
/* Charge what it holds now, beside its parts: at intake the record and what was decoded; with its end the reply, the turn until Redis has it, and
 * what the Kafka client keeps of the reply and the dead letter. What is in flight, the history and the answer, isn't charged: threads bound it. The holder's to call. */
void task_weigh_input(struct task *task);
void task_weigh_end(struct task *task);
struct task *task_ref(struct task *task);
void task_unref(struct task *task); /* NULL is fine */

/* Classified failures, this one included. */
int task_attempts(const struct task *task);
/* clock_mono_ms by which the job must have ended, by its own deadline (from the record's timestamp, or from when it was first
 * seen: wire/record_time.h) and llm.deadline_ms (from begin). The own one stays, whatever the clock or the attempts do. */
int64_t task_until_ms(const struct task *task, int64_t llm_deadline_ms);

#endif
