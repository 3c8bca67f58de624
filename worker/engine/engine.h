/* What runs the journeys, settings.worker.engine:
 *
 *   threads  a pool, each thread running one job at a time through journey_run, which blocks (engine_threads.c)
 *   loop     few threads, each an event loop with many jobs at once in journey_loop_go_on, which never blocks (engine_loop.c)
 *
 * Both get jobs from the dispatcher and give them to completion. */
#ifndef CHAT_ENGINE_ENGINE_H
#define CHAT_ENGINE_ENGINE_H

#include <pthread.h>

#include "base/error.h"
#include "task/service.h"

struct engine;
struct task;

/* Replaceable, so that a test can make the k-th thread fail to start. */
typedef int engine_thread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*main)(void *), void *arg);

/* Threads: settings.worker.threads of them with small stacks, named chat-0, chat-1, ... Loop: settings.worker.loops threads, named chat-loop-0, ..., for
 * settings.worker.in_flight jobs. If the k-th can't be started, those before it are ended again and *err contains how many there were and which limit to
 * check.
 * create: NULL for pthread_create. */
enum status engine_start(const struct service *service, engine_thread_create *create, struct engine **ret, struct error *err) MUST_CHECK;
/* Cancels every running call within milliseconds; each fails with ERROR_CANCELLED. Any thread. */
void engine_cancel_all(struct engine *engine);
/* Cancels the call of this task, if one runs. Any thread. */
void engine_cancel(struct engine *engine, const struct task *task);
/* Cancels the calls of all tasks that are flagged as cancelled. Any thread. */
void engine_cancel_flagged(struct engine *engine);
/* How many jobs are run. Any thread. */
int engine_busy(struct engine *engine);
/* Logs a line for each job: its thread and lane, id (telemetry/steps.h cuts it), partition and offset, for how long it is run; its step, for whom it waits, since
 * when. Holds no lock meanwhile: no job waits for whoever reads the log. Any thread. */
void engine_report(struct engine *engine);
/* After dispatcher_stop: joins the threads and frees all. NULL is fine. */
void engine_join(struct engine *engine);

#endif
