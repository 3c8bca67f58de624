/* Dispatches requests: chat completions, contexts, models, health, and the simulator's own pages under /sim. Fills the connection's script and
 * has it played. One thread: the event loop's. Never blocks. */
#ifndef LLMSIM_ROUTES_H
#define LLMSIM_ROUTES_H

#include "conn.h"

/* The request is complete: head and body. The connection may be freed by this and by route_refuse. */
void route_request(struct conn *c);
/* Refuses a malformed request. */
void route_refuse(struct conn *c, int status, const char *message);

#endif
