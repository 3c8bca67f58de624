/* The parts of one worker: made, wired together and freed in reverse order. main.c has one.
 *
 *   process_make ─▶ process_start ─▶ (serve, drain) ─▶ process_take_apart
 *
 * Main thread. process_make blocks for no network; process_start for worker.startup_wait_ms and a Redis or Kafka time-out each; process_take_apart as long as
 * the threads' last calls take, watched by signals.h. */
#ifndef CHAT_SERVICE_PROCESS_H
#define CHAT_SERVICE_PROCESS_H

#include <pthread.h>
#include <stdbool.h>

#include "base/error.h"
#include "task/service.h"
#include "telemetry/watchdog.h"

struct process {
    struct service service;
    struct kafka_embedded *embedded;
    struct intake *_Atomic intake; /* NULL until it has started; the admin thread asks */
    struct control_reader *control;
    struct admin_server *admin;
    struct renewer *renewer;
    pthread_t begin_thread, timekeeper;
    bool begin_started, timekeeper_started;
    _Atomic bool draining;
    struct watchdog watchdog; /* this and stuck: admin thread only (probes.h) */
    enum watched stuck;
};

/* The parts that need neither threads nor the network: pools, clients, the embedded broker. self is zero but for service.notes. FAILED: process_take_apart undoes it. */
enum status process_make(struct process *process, const struct settings *settings, struct error *err) MUST_CHECK;
/* Waits for Kafka and Redis, starts all threads, and takes jobs. FAILED: as above; also when a signal came meanwhile (ERROR_CANCELLED). */
enum status process_start(struct process *process, struct error *err) MUST_CHECK;
/* Undoes process_make and process_start, as far as each got. status: the process's exit status, also where signals.h ends the
 * process because this takes too long. False: jobs whose ends aren't stored in Redis or acknowledged by Kafka, or a client that doesn't close, are
 * left behind. The process must end at once then: exit handlers would free what running threads use. */
bool process_take_apart(struct process *process, int status) MUST_CHECK;

/* A failure that the process can't go on after; the drain that follows stores the answers of running calls in Redis. Any thread, after process_start. */
bool process_failed(struct process *process, struct error *err);
const char *process_bootstrap(const struct process *process); /* bootstrap.servers, or the embedded broker's */
bool process_is_embedded(const struct settings *settings);    /* the broker is our own */

#endif
