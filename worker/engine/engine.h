/* The thread pool: N threads, each running one job at a time through journey_run. */
#ifndef CHAT_ENGINE_ENGINE_H
#define CHAT_ENGINE_ENGINE_H

#include <pthread.h>

#include "base/error.h"
#include "task/service.h"

struct engine;
struct task;

/* Replaceable, so that a test can make the k-th thread fail to start. */
typedef int engine_thread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*main)(void *), void *arg);

/* Starts settings.worker.threads threads with small stacks, named chat-0, chat-1, ... If the k-th can't be
 * started, those before it are ended again and *err contains how many there were and which limit to check.
 * create: NULL for pthread_create. */
enum status engine_start(const struct service *service, engine_thread_create *create, struct engine **ret, struct error *err) MUST_CHECK;
/* Cancels every running call within milliseconds; each fails with ERROR_CANCELLED. Any thread. */
void engine_cancel_all(struct engine *engine);
/* Cancels the call of this task, if one runs. Any thread. */
void engine_cancel(struct engine *engine, const struct task *task);
/* Cancels the calls of all tasks that are flagged as cancelled. Any thread. */
void engine_cancel_flagged(struct engine *engine);
/* How many threads have a job. Any thread. */
int engine_busy(struct engine *engine);
/* Logs a line for each busy thread: its name, job, partition and offset, for how long; its step, for whom it waits, since when. Any thread. */
void engine_report(struct engine *engine);
/* After dispatcher_stop: joins the threads and frees all. NULL is fine. */
void engine_join(struct engine *engine);

#endif
