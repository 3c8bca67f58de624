/* The orderly shutdown: stop taking records, let running jobs finish within a bound, release claims, commit, leave the group. Each wait has a deadline
 * (service/end_watch.h); if a library's call doesn't return all the same, service/signals.c ends the process. */
#ifndef CHAT_SERVICE_SHUTDOWN_H
#define CHAT_SERVICE_SHUTDOWN_H

#include "intake/control_reader.h"
#include "intake/intake.h"
#include "task/service.h"

/* Main thread. Blocks up to worker.drain_timeout_ms, and for what follows about two thirds of worker.close_timeout_ms. Afterwards intake, control
 * (nulled) and completion are stopped. Returns how many jobs were cut short. */
int shutdown_drain(const struct service *service, struct intake *intake, struct control_reader **control);

#endif
