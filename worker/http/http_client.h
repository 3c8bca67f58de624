/* An HTTP client is what one thread needs to have HTTP calls under way, one to each target at most, and to block until the first of
 * them ends: straight-line code that waits for several servers at once.
 *
 *   http_pool_take ─▶ http_call_start (target 0), (target 2) … ─▶ http_client_wait ─▶ read http_call ─▶ http_call_end ─▶ http_pool_give
 *
 * Targets (providers, context sources) are named by their index, fixed when the pool is made (http_pool.h). A client keeps one
 * connection a target: connections can't be shared across threads, addresses (resolver.h) and TLS sessions are. A call whose host is being
 * looked up goes out when the address is there; the client's other calls don't wait for it. A curl multi handle
 * of its own is what lets another thread end the wait at once (curl_easy_perform looks up only once a second).
 *
 * Bodies that are packed unasked are unpacked (http_unpack.h); what is kept of one, and all its bounds, are of what it unpacks to.
 *
 * Thread: the borrower's alone. Makes no retry, and judges no status. The process ignores SIGPIPE. */
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
struct http_client;

enum http_event {
    HTTP_ENDED,    /* *ret_target's call; it is told once */
    HTTP_TIME,     /* until_ms came */
    HTTP_CANCELLED,
    HTTP_BROKEN    /* libcurl can't go on: the client's calls are lost, give it back */
};

/* Blocks until a call of the client ends, asleep until something happens: no time slices. cancel may be NULL. */
enum http_event http_client_wait(struct http_client *client, int64_t until_ms, struct http_cancel *cancel, size_t *ret_target);

struct http_call *http_client_call(struct http_client *client, size_t target);

/* ---- http_pool's ---- */

/* Where a call goes. */
struct http_place {
    char *url;
    CURLU *read_url; /* the same, which libcurl need not read anew for each call; NULL: it refuses to, and will say so then */
    struct curl_slist *headers;
    char *proxy; /* NULL: none */
    struct resolver_host *host; /* whose address is looked up, the proxy's or the server's; NULL: there is nothing to look up */
    char *host_name, *host_port; /* of host: as messages and libcurl name it */
    char *ca_file;
    struct tls_trust *trust; /* NULL: nothing is asked over https */
    bool owns_trust;
    int64_t connect_timeout_ms; /* with DNS and TLS */
    size_t response_bytes_max;
};

/* What all clients share. */
struct http_world {
    struct http_place *places;
    size_t count;
    CURLSH *share;
    struct resolver *resolver;
};

struct http_client {
    const struct http_world *world;
    CURLM *multi;
    int running;
    int unresolved; /* of those: what hasn't gone out yet */
    bool broken;
    struct http_client *hotter; /* the pool's, while idle */
    struct http_client *colder;
    int64_t idle_since_ms;
    size_t count;
    struct http_call calls[]; /* by target; a handle is made when it is first used, target 0's at once */
};

struct http_client *http_client_create(const struct http_world *world); /* NULL: no descriptors */
void http_client_destroy(struct http_client *client); /* NULL is fine */

#endif
