/* A pool of clients (http_client.h), last in, first out, so that the latest connections are used again and idle ones age out. Holds
 * their shared data: targets, addresses of hosts, TLS sessions and the trusted certificates. Any thread; a loop's pool (http_loop.h): the loop's. */
#ifndef CHAT_HTTP_HTTP_POOL_H
#define CHAT_HTTP_HTTP_POOL_H

#include "http/http_client.h"

struct http_pool;

/* Copied by http_pool_create. */
struct http_target {
    const char *name; /* for messages: "provider main" */
    const char *url; /* a call may have another, of the same host */
    const char *const *headers; /* NULL-terminated "Name: value" */
    const char *proxy;   /* the setting's text (proxy_choice.h) */
    const char *ca_file; /* NULL: the default authorities (tls_trust.h) */
    int64_t connect_timeout_ms; /* with DNS and TLS */
    size_t response_bytes_max;  /* of a body; of an error's the first 256 KiB */
};

/* Before other threads. clients_prepared: how many clients to make at once, with target 0's handle, two descriptors each. FAILED: permanent, a url, proxy
 * or ca_file that can't be used; fatal, libcurl can't start. */
enum status http_pool_create(const struct http_target *targets, size_t count, size_t clients_prepared, struct http_pool **ret,
                             struct error *err) MUST_CHECK;
/* A pool of an event loop's own, for the same targets: its clients are the loop's. pool outlives it. */
struct http_pool *http_pool_of_loop(struct http_pool *pool, struct http_loop *loop);
void http_pool_destroy(struct http_pool *pool); /* all clients back; NULL is fine */

/* FAILED: unavailable `no_resources` (descriptors). */
enum status http_pool_take(struct http_pool *pool, struct http_client **ret, struct error *err) MUST_CHECK;
/* Ends the client's calls; closes clients that were idle for too long. */
void http_pool_give(struct http_pool *pool, struct http_client **client);

#endif
