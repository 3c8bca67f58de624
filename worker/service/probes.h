/* What the admin port tells of this process: whether it works (/healthz), whether it is started and in its group (/readyz), and every
 * WATCHDOG_LOOK_MS whether each thread goes on. Admin thread; reads the process while the main thread starts and drains it. Blocks never. */
#ifndef CHAT_SERVICE_PROBES_H
#define CHAT_SERVICE_PROBES_H

#include "service/admin_server.h"
#include "service/process.h"

/* The process must outlive the server that they are given to. */
struct admin_probes probes_of(struct process *process);

#endif
