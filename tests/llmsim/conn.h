/* A client's connection: reads its requests one after the other, passes each to routes.h, whose script play.h plays; counts how each ended.
 * Private to the server's files, as is the state that all connections share. One thread: the event loop's. Never blocks. */
#ifndef LLMSIM_CONN_H
#define LLMSIM_CONN_H

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "fault.h"
#include "journal.h"
#include "script.h"
#include "server.h"
#include "stats.h"

enum conn_state { CONN_HEAD, CONN_BODY, CONN_ANSWER };
enum asked { ASKED_ELSE, ASKED_CHAT, ASKED_CONTEXT };

struct conn {
    LIST_ENTRY(conn) link;
    struct server *server;
    struct bufferevent *bev;
    struct event *timer; /* before a script's step */
    enum conn_state state;
    bool stale;      /* the next request's first bytes are answered with a reset */
    bool keep_alive; /* requested by the client in the current request */
    char *head, *body; /* of the current request; NULL once kept or done */
    size_t body_size, body_read;
    /* The answer being played: valid in CONN_ANSWER. */
    struct script script;
    size_t step, step_offset;
    int64_t step_repeated;
    bool writing; /* bytes of the script are being sent: the write callback continues */
    bool held;    /* the next step waits for release() */
    char *message; /* owned; of a request whose answer is to be held, else NULL */
    enum asked asked; /* chat, context: counted in flight */
    struct journal_line line; /* the journal's line for it */
    struct message_count *count;
    uint64_t count_epoch; /* count is invalid once the server's epoch has changed */
};

struct server {
    struct server_options options;
    struct event_base *base;
    struct evconnlistener *listener;
    struct event *listen_again;
    struct fault_rules *rules;
    struct stats stats;
    struct journal *journal; /* NULL: none is kept */
    uint64_t number; /* chat requests since the start or the reset */
    uint64_t epoch;  /* resets */
    int64_t started_ms;
    LIST_HEAD(, conn) conns;
};

/* Takes fd, which is connected. */
void conn_create(struct server *s, evutil_socket_t fd);
void conn_destroy(struct conn *c);
/* Closes the connection with a TCP reset. */
void conn_reset(struct conn *c);

/* Reads the received bytes, and has a complete request answered. */
void conn_read_on(struct conn *c);
/* The current request is over, in one of three ways. */
void conn_request_over(struct conn *c, enum message_event event);
void conn_forget_request(struct conn *c);
/* Sets whether the next step waits for a release. */
void conn_hold(struct conn *c, bool held);

#endif
