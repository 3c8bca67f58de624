/* One job on its way through the worker, from intake to the acknowledgement of its reply.
 *
 * Owned by one place at a time (dispatcher, begin thread, pool thread, completion); the holder alone
 * writes it. Counted references only let others keep it alive: the publisher until the last
 * acknowledgement, the renewer while it renews the claim. */
#ifndef CHAT_TASK_TASK_H
#define CHAT_TASK_TASK_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"
#include "llm/llm_client.h"
#include "redis/session_store.h"
#include "settings/settings.h"
#include "task/end.h"
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

/* How a job has failed at the providers: what tells its own fault from theirs (breakers/blame.h). */
struct task_failures {
    uint64_t after[PROVIDERS_MAX]; /* how many successes of others each knew at this job's last failure there */
    uint16_t at, at_fault;         /* bit i: it has failed at provider i; others were answered there between two of its failures */
    uint64_t series;               /* in which it was last counted: weather's */
    int spared;
};

/* A call that a provider's rate allows later. quota/spending.h reserves it, completion parks its task until then, the dispatcher may
 * make it sooner while the task is parked, under its lock, and spending reads it when the task comes back. */
struct rated_start {
    bool waits;      /* there is one; all else is undefined without */
    size_t provider; /* index of settings.providers */
    int64_t due_ms;  /* clock_mono_ms */
};

struct task {
    atomic_int references;
    struct record record;
    struct job job;
    struct partition *partition; /* a reference */
    size_t bytes;                /* what it holds, as in jobs_alive_bytes: the next two together */
    size_t input_bytes;          /* see task_weigh_input */
    size_t end_bytes;            /* see task_weigh_end */
    size_t published_bytes[2];   /* the Kafka client's copies: of the reply, of the dead letter */

    struct task *prev, *next;    /* the list it is in (task_list.h) */

    struct dispatch_entry *entry; /* the dispatcher's (dispatch/dispatch_entry.h) */
    struct begin_op *begin;       /* session's (session/session.h) */
    struct held_claim *held;      /* session's (session/held_claims.h) */

    int64_t fails, crashes;  /* on its record in Redis, as begin said last: classified failures, claims found unreleased */
    int64_t first_failed_ms; /* the same: Unix time of the first failure; 0: none */
    bool claim_is_others;    /* begin said last that another worker has it */
    bool stored_dead;        /* STORED: it had ended as dead, so that a dead letter is owed, too */
    int64_t cancelled_ms;   /* clock_mono_ms: when it was heard; written before the next, and then no more */
    atomic_bool cancelled;  /* whoever holds the task ends it so, unless it has ended; set under the dispatcher's lock */
    int cancel_told;        /* how often another that has its claim was told: it waits for that one's end */

    enum outcome outcome;
    struct error error;   /* DEAD, RETRY, WAIT: why */
    const char *provider; /* name, borrowed from settings; NULL: none was asked */
    char *said; /* owned: what the provider itself said of error, for DEAD alone; NULL: nothing */
    uint16_t refused_by;     /* bit i: provider i has refused the history, as question.h has it */
    struct reservations *reservations; /* quota's (quota/reservations.h) */
    char *reply; /* owned; what goes to the replies topic and the store */
    char *turn;  /* owned; history element, until Redis has it */
    int64_t wait_ms;      /* RETRY, WAIT: how long */
    struct rated_start rated; /* WAIT, and until its call begins */
    struct task_failures failures; /* weather's */
    int64_t too_slow_ms;   /* clock_mono_ms: since when it waits for a provider's probe; 0: it doesn't */
    int unavailable_waits; /* WAITs in a row: the backoff's exponent */
    bool settled;         /* Redis has been told */
    atomic_bool refused;  /* it answered, but not this one, for a reason of its own: it is to be told again */

    /* The completion thread's, and once it was put its publisher's. */
    struct end end;          /* where what it owes is on its way */
    bool reply_owed;         /* not yet acknowledged */
    bool dead_letter_owed;
    bool own_partition_refused; /* the one that kafka_replyPartition names: the reply goes by its key */
    bool own_topic_refused;  /* the one that kafka_replyTopic names: the reply goes to replies_topic */
    bool reply_replaced;     /* by an error reply: Kafka refused the first */
    bool value_omitted;      /* from the dead letter: too large */

    int64_t received_ms; /* clock_mono_ms */
    int64_t received_wall_ms; /* Unix time */
    int64_t seen_ms;     /* clock_mono_ms: received_ms, or earlier, when another worker or an earlier grant saw it; set by begin */
    int64_t begun_ms;
    int64_t context_ms; /* durations */
    int64_t llm_ms;
};

struct task *task_create(struct record *record, struct partition *partition); /* takes what *record owns */
/* Charge what it holds now: at intake the record and what was decoded; with its end the reply, the turn until Redis has it, and what the
 * Kafka client keeps of the reply and the dead letter. What is in flight, the history and the answer, isn't charged: threads bound it. The holder's to call. */
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
