/* What the bare forms (floor_threads.c, floor_loop.c) do to a job between two waits, so that they differ in how they wait alone: a record becomes
 * a claim, the claim's history a request, the answer a reply and a turn. No I/O; any thread, one job by one thread at a time. Ends the
 * process at the first error. */
#ifndef CHAT_BENCH_FLOOR_JOB_H
#define CHAT_BENCH_FLOOR_JOB_H

#include <jansson.h>
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>

#include "redis/session_store.h"

struct floor_job {
    rd_kafka_message_t *message; /* owned */
    json_t *value;               /* owned: the message's */
    char fingerprint[33];        /* of the message's value */
    char origin[300];            /* topic-partition-offset */
    struct begin_op begin;       /* id and session are borrowed from value */
    struct finish_op finish;     /* claim, reply and turn are borrowed from the job */
    char *reply, *turn;          /* owned; NULL until floor_job_answered, or floor_job_begun for a job that had ended before */
};

/* Takes the message. begin is filled in. */
struct floor_job *floor_job_read(rd_kafka_message_t *message);
/* After begin's answer. False: the job had ended before, and reply is what was stored then. */
bool floor_job_begun(struct floor_job *job);
/* The request's body, owned by the caller: the history and the job's message. */
char *floor_job_request(const struct floor_job *job);
/* Takes what the LLM said: reply, turn and finish are filled in. */
void floor_job_answered(struct floor_job *job, long status, const char *body, size_t size);
/* After finish's answer. */
void floor_job_finished(const struct floor_job *job);
void floor_job_free(struct floor_job *job);

void floor_die(const char *what, const char *why) __attribute__((noreturn));

#endif
