/* Signals, and that the process always ends. They are blocked in every thread; one of its own, chat-signals, takes them, which waits for
 * nothing else: so a TERM is heard whatever all other threads are stuck in.
 *
 *   TERM, INT          the first: signals_end_requested, and the time runs that service/end_watch.h gives. The second: the process ends, within
 *                      a second, with 75 and one line of log
 *   TSTP, CONT, USR1   are handed to the main thread (signals_next)
 *
 * When the time is up the process ends by itself, with a line that names the step it was stuck in. No lock that another thread may hold
 * is needed for either, and a log that nobody reads stops neither: an alarm ends the process a second after its last line was begun. */
#ifndef CHAT_SERVICE_SIGNALS_H
#define CHAT_SERVICE_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "service/end_watch.h"

/* Once in the process, before its other threads. Until signals_bound a TERM leaves it a second. */
enum status signals_start(struct error *err) MUST_CHECK;
/* worker.drain_timeout_ms and worker.close_timeout_ms. Main thread, in its first step. */
void signals_bound(int64_t drain_ms, int64_t close_ms);

/* TSTP, CONT or USR1, when it comes within wait_ms; else 0, and at once when told to end. Main thread. */
int signals_next(int64_t wait_ms);
/* Any thread; never blocks. */
bool signals_end_requested(void);

/* What the main thread does from now on. */
void signals_step(enum end_step step);
/* The exit status, should the time be up from now on: all is told that there was to tell. Until then 75. */
void signals_status(int status);

#endif
