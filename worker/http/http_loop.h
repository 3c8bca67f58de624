/* HTTP calls on an event loop: clients (http_client.h) that aren't blocked for, but looked at when a socket is ready or a time has come.
 *
 *   http_pool_of_loop ─▶ http_pool_take ─▶ http_call_start … ─▶ http_client_look ─┬▶ something has happened
 *                                                 ▲                               └▶ WAITING ─▶ http_loop_wait ─▶ ready (called back) ─┐
 *                                                 └────────────────────────────────────────────────────────────────────────────────────┘
 *
 * A connection's socket is watched as long as it exists, so that a job costs no system call for that; an idle one that its server closes is closed.
 * libcurl only connects, driven by the loop. Its multi handles are shards: the start and the end of a connection cost libcurl a walk along all others of
 * the handle, so that one has so many clients at most.
 *
 * Thread: the loop's only, except for the wake. Nothing blocks. */
#ifndef CHAT_HTTP_HTTP_LOOP_H
#define CHAT_HTTP_HTTP_LOOP_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/http_wake.h"

struct http_client;
struct http_loop;

/* clients_per_shard: at least 1. wake: called on any thread when a host's address is known: then look at each client that waits (http_loop_is_unresolved). */
struct http_loop *http_loop_create(struct event_base *base, size_t clients_per_shard, const struct http_wake *wake);
void http_loop_destroy(struct http_loop *loop); /* no clients; NULL is fine */

/* Calls ready once, when looking may find something new, or at until_ms (clock_mono_ms); never before this has returned. */
void http_loop_wait(struct http_client *client, int64_t until_ms, void (*ready)(void *arg), void *arg);
/* ready isn't called any more. */
void http_loop_leave(struct http_client *client);
/* It waits for a host's address. */
bool http_loop_is_unresolved(const struct http_client *client);

/* ---- http_client's ---- */

/* Sets the client's multi, wake and watch. False: libcurl can't make a handle. */
bool http_loop_add(struct http_loop *loop, struct http_client *client);
void http_loop_remove(struct http_client *client); /* its connections are closed */

#endif
