/* The orderly end: stop taking, finish what runs within a bound, tell Redis and Kafka, leave. */
#ifndef CHAT_OPS_SHUTDOWN_H
#define CHAT_OPS_SHUTDOWN_H

#include <stdbool.h>

#include "intake/control_reader.h"
#include "intake/intake.h"
#include "service.h"

/* Blocks up to worker.drain_timeout_ms and some seconds. again is asked often: true (a second signal) ends it
 * early. Afterwards intake, control (nulled) and completion are stopped. Returns how many jobs were cut short. */
int shutdown_drain(const struct service *service, struct intake *intake, struct control_reader **control, bool (*again)(void));

#endif
