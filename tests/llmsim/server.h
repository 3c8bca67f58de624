/* The simulator's HTTP/1.1 side: reads requests, asks plan, fault and answer what to send, plays it.
 *
 * It uses bufferevents, not evhttp: the faults are about exact bytes, writes and closes (a reset in
 * the middle of a POST, a character cut by two writes), and a waiting client's close must be detected, while
 * evhttp stops reading from a connection while its request is being handled. Requests need a Content-Length.
 * One thread: the event loop's. A client that shuts down its sending side counts as closed. */
#ifndef LLMSIM_SERVER_H
#define LLMSIM_SERVER_H

#include <event2/event.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "fault.h"
#include "journal.h"
#include "plan.h"

struct server_options {
    const char *host;    /* numeric: "127.0.0.1", "::" */
    int port;            /* 0: a free one */
    const char *model;   /* in /v1/models */
    bool only_model;     /* a dialect's server refuses any other model */
    const char *api_key; /* NULL: none required */
    int64_t loading_ms;  /* for so long after the start all requests, /health too, get a 503 */
    size_t keep;         /* requests kept for /sim/requests */
    struct journal *journal; /* NULL: none; borrowed, must outlive the server */
    struct plan_options plan;
};

struct server;

/* Takes *rules on OK. The options' strings must outlive the server. */
enum status server_create(struct event_base *base, const struct server_options *options, struct fault_rules **rules,
                          struct server **ret, struct error *err) MUST_CHECK;
int server_port(const struct server *server);
/* Resets open connections. NULL is fine. */
void server_destroy(struct server *server);

#endif
