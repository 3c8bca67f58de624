/* Signals, and that the process always ends. They are blocked in every thread; a thread of their own, chat-signals, receives them and waits for
 * nothing else: so a TERM is received whatever all other threads are stuck in.
 *
 *   TERM, INT          the first: signals_end_requested, and the time that service/end_watch.h allows starts. The second: the process ends, within
 *                      a second, with 75 and one line of log
 *   TSTP, CONT, USR1   are handed to the main thread (signals_next)
 *
 * When the time is up the process ends by itself and logs the step it was stuck in. Neither end needs a lock that another thread may hold,
 * and a log pipe that nobody reads stops neither: an alarm ends the process a second after it began to write its last line. */
#ifndef CHAT_SERVICE_SIGNALS_H
#define CHAT_SERVICE_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "service/end_watch.h"

/* Once in the process, before its other threads. Until signals_bound is called, the process has a second to end after a TERM. */
enum status signals_start(struct error *err) MUST_CHECK;
/* worker.drain_timeout_ms and worker.close_timeout_ms. Main thread, in its first step. */
void signals_bound(int64_t drain_ms, int64_t close_ms);

/* TSTP, CONT or USR1, when it comes within wait_ms; else 0, and at once when an end was requested. Main thread. */
int signals_next(int64_t wait_ms);
/* Any thread; never blocks. */
bool signals_end_requested(void);

/* What the main thread does from now on. */
void signals_step(enum end_step step);
/* The exit status, should the time be up from now on: all is committed and stored that can be. Before this call it is 75. */
void signals_status(int status);

#endif
