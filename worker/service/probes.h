/* What the admin port reports of this process: whether it works (/healthz), and whether it is started and in its group (/readyz). Every
 * WATCHDOG_LOOK_MS it checks that each thread makes progress. Admin thread; reads the process while the main thread starts and drains it. Blocks never. */
#ifndef CHAT_SERVICE_PROBES_H
#define CHAT_SERVICE_PROBES_H

#include "service/admin_server.h"
#include "service/process.h"

/* The process must outlive the server that gets the probes. */
struct admin_probes probes_of(struct process *process);

#endif
