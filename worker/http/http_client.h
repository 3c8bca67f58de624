/* An HTTP client has several HTTP calls under way, at most one to each target, until the first of them ends. A thread blocks for that, in straight-line
 * code; an event loop is called back (http_loop.h). Both look with http_client_look.
 *
 *   http_pool_take ─▶ http_call_start (target 0), (target 2) … ─▶ http_client_wait ─▶ read http_call ─▶ http_call_end ─▶ http_pool_give
 *                                                                 = http_client_look until it isn't WAITING, with http_client_block between
 *
 * Targets (providers, context sources) are named by their index, fixed when the pool is made (http_pool.h). A client keeps one
 * connection a target: connections can't be shared across threads, addresses (resolver.h) and TLS sessions are. A call whose host is being
 * looked up is sent when the address is known; the client's other calls don't wait for it. libcurl makes connections (http_connection.h);
 * requests and responses go over them by http_exchange.h. A thread's client has a curl multi handle of its own, by which another thread can end the
 * wait at once; those of an event loop share some.
 *
 * Bodies that are compressed unrequested are decompressed (http_unpack.h); stored bytes and all bounds are of the decompressed body.
 *
 * Thread: the borrower's only. Makes no retry, and judges no status. The process ignores SIGPIPE. */
#ifndef CHAT_HTTP_HTTP_CLIENT_H
#define CHAT_HTTP_HTTP_CLIENT_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/http_call.h"
#include "http/http_cancel.h"
#include "http/resolver.h"

struct tls_trust;
struct http_loop;
struct http_watch;
struct http_client;

enum http_event {
    HTTP_ENDED,    /* *ret_target's call has ended; returned once for each call */
    HTTP_TIME,     /* until_ms was reached */
    HTTP_CANCELLED,
    HTTP_BROKEN,   /* libcurl can't go on: the client's calls are lost, give it back */
    HTTP_WAITING   /* none of these yet */
};

/* Sends and receives what can be without waiting, and says what has happened. WAITING: look again when a socket is ready, or at *ret_next_ms (clock_mono_ms).
 * cancel may be NULL. */
enum http_event http_client_look(struct http_client *client, int64_t until_ms, struct http_cancel *cancel, size_t *ret_target, int64_t *ret_next_ms);
/* A thread's: blocks until it is worthwhile to look again, without polling. */
void http_client_block(struct http_client *client, int64_t until_ms, struct http_cancel *cancel);
/* A thread's: blocks until a call of the client ends, or until_ms. */
enum http_event http_client_wait(struct http_client *client, int64_t until_ms, struct http_cancel *cancel, size_t *ret_target);

struct http_call *http_client_call(struct http_client *client, size_t target);

/* ---- http_pool's ---- */

/* Where calls to one target are sent. */
struct http_place {
    char *front; /* the URL up to the end of its host */
    char *request_target; /* of a request line (http_head.h); NULL: the URL can't be parsed, and calls without one of their own will fail with that */
    char *headers;        /* of each request */
    char *proxy; /* NULL: none */
    struct resolver_host *host; /* the host to look up, the proxy's or the server's; NULL: none */
    char *host_name, *host_port; /* of host, for messages and libcurl */
    char *ca_file;
    struct tls_trust *trust; /* NULL: no https */
    bool owns_trust;
    int64_t connect_timeout_ms; /* with DNS and TLS */
    size_t response_bytes_max;
};

/* Shared by all clients. */
struct http_world {
    struct http_place *places;
    size_t count;
    CURLSH *share;
    struct resolver *resolver;
};

struct http_client {
    const struct http_world *world;
    CURLM *multi; /* its own, or its loop's */
    struct http_watch *watch; /* an event loop's (http_loop.h); NULL: a thread's client */
    struct http_wake wake; /* ends its wait */
    int unresolved, connecting; /* calls in these stages */
    bool ran_libcurl; /* since its thread last waited with no call connecting */
    bool broken;
    struct curl_waitfd *sockets; /* room for one a call, for a thread's wait */
    struct http_client *hotter; /* the pool's, while idle */
    struct http_client *colder;
    int64_t idle_since_ms;
    size_t count;
    struct http_call calls[]; /* by target; a handle is made when it is first used, target 0's at once */
};

/* loop: NULL for a thread. NULL: no descriptors. */
struct http_client *http_client_create(const struct http_world *world, struct http_loop *loop);
void http_client_destroy(struct http_client *client); /* NULL is fine */

/* What libcurl says of the connections of a multi handle; told (or NULL) is called for each client that has something to look at: it must not act yet. */
void http_client_take_messages(CURLM *multi, void (*told)(struct http_client *client));

#endif
