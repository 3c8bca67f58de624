/* Looks up the addresses of servers, once for all waiting calls. libcurl itself starts a thread for each call that needs a name, so a first
 * wave of a thousand calls makes a thousand look-ups; here each host has at most one look-up under way, on a thread that ends with it, so that
 * there are never more such threads than hosts, and a name without an answer holds up only its own calls.
 *
 *   http_call_start ─▶ resolver_ask ─┬▶ KNOWN: the call is sent
 *                                    └▶ WAITING ─▶ http_client_wait, woken by the answer ─▶ resolver_ask
 *
 * An address is used for 60 seconds, as in libcurl (getaddrinfo returns no TTL). It is looked up again from the
 * 45th on, beside the calls, which don't wait as long as there are addresses; earlier if an address can't be connected to. A failed look-up
 * ends all calls that wait for it, and the next call tries again. While the name service itself is away, the last addresses stay
 * valid for an hour: most calls have their connection already.
 *
 * Any thread; one lock, never held during a look-up. */
#ifndef CHAT_HTTP_RESOLVER_H
#define CHAT_HTTP_RESOLVER_H

#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>

#include "http/http_wake.h"

#define RESOLVER_GOOD_MS 60000
#define RESOLVER_RENEW_MS 45000
#define RESOLVER_STALE_MS 3600000
#define RESOLVER_AGAIN_MS 1000 /* between two look-ups for which no call waits, and from a look-up until its address may be doubted */

struct resolver;
struct resolver_host;

typedef int resolver_lookup(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **ret);

/* lookup, free_addresses: getaddrinfo and freeaddrinfo, or a test's. */
struct resolver *resolver_create(resolver_lookup *lookup, void (*free_addresses)(struct addrinfo *));
/* No call waits. Look-ups under way end by themselves, later. NULL is fine. */
void resolver_destroy(struct resolver *resolver);
/* Before other threads: the host of this name, valid as long as the resolver; the same one for the same name. */
struct resolver_host *resolver_host(struct resolver *resolver, const char *name);

/* A waiting call's entry; all zero: it doesn't wait. */
struct resolver_wait {
    struct resolver_host *host; /* NULL: doesn't wait */
    struct http_wake wake;
    struct resolver_wait *next, *previous;
    bool answered;
    int error; /* with answered; 0: there are addresses */
};

struct resolver_answer {
    uint64_t version; /* changes with the addresses; 0: none yet */
    char *addresses;  /* owned by the caller: "192.0.2.1,[2001:db8::1]", by preference; NULL unless version has changed */
};

enum resolver_state {
    RESOLVER_KNOWN,
    RESOLVER_WAITING, /* the client is woken when there is an answer: then call resolver_ask again */
    RESOLVER_FAILED   /* *ret_error, for gai_strerror */
};

/* answer->version: of the addresses that the caller has. now_ms: clock_mono_ms. Never blocks. */
enum resolver_state resolver_ask(struct resolver_host *host, struct resolver_wait *wait, const struct http_wake *wake, int64_t now_ms,
                                 struct resolver_answer *answer, int *ret_error);
/* Stops waiting; does nothing if it doesn't wait. */
void resolver_leave(struct resolver_wait *wait);
/* The addresses of this version couldn't be connected to: the next resolver_ask starts a look-up. */
void resolver_doubt(struct resolver_host *host, uint64_t version, int64_t now_ms);

#endif
