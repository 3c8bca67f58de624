/* What the simulator answers to which request: chat completions, contexts, models, health, and its own pages under /sim. Fills the connection's script and
 * has it played. One thread: the event loop's. Blocks never. */
#ifndef LLMSIM_ROUTES_H
#define LLMSIM_ROUTES_H

#include "conn.h"

/* The request is read whole: head and body. The connection may be gone afterwards, as after the next. */
void route_request(struct conn *c);
/* One that can't be read on. */
void route_refuse(struct conn *c, int status, const char *message);

#endif
