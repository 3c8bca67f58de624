/* Looks up the addresses of servers, once for all who wait. libcurl alone starts a thread for each call that needs a name, and a first
 * wave of a thousand calls asks a thousand times; here one look-up a host is under way at a time, on a thread that ends with it, so that
 * there are never more such threads than hosts, and one name that nobody answers for holds nobody else up.
 *
 *   http_call_start ─▶ resolver_ask ─┬▶ KNOWN: the call goes out
 *                                    └▶ WAITING ─▶ http_client_wait, woken by the answer ─▶ resolver_ask
 *
 * An address is used for 60 seconds (getaddrinfo doesn't tell a name's own time; so libcurl does). It is looked up anew from the
 * 45th on, beside the calls, which needn't wait as long as there are any; before that when an address can't be connected to. A look-up that
 * fails is told to all who wait for it, and tried anew by whoever asks next. While the name service itself is away, the last addresses stay
 * good for an hour: most calls have their connection already.
 *
 * Any thread; one lock, never held during a look-up. */
#ifndef CHAT_HTTP_RESOLVER_H
#define CHAT_HTTP_RESOLVER_H

#include <curl/curl.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>

#define RESOLVER_GOOD_MS 60000
#define RESOLVER_RENEW_MS 45000
#define RESOLVER_STALE_MS 3600000
#define RESOLVER_AGAIN_MS 1000 /* between two look-ups that nobody waits for, and after one before an address is doubted */

struct resolver;
struct resolver_host;

typedef int resolver_lookup(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **ret);

/* lookup, free_addresses: getaddrinfo and freeaddrinfo, or a test's. */
struct resolver *resolver_create(resolver_lookup *lookup, void (*free_addresses)(struct addrinfo *));
/* Nobody waits. Look-ups under way end by themselves, later. NULL is fine. */
void resolver_destroy(struct resolver *resolver);
/* Before other threads: the host of this name, which lives as long as the resolver; the same one for the same name. */
struct resolver_host *resolver_host(struct resolver *resolver, const char *name);

/* A call's place among those who wait; all zero: it doesn't. */
struct resolver_wait {
    struct resolver_host *host; /* NULL: waits for nothing */
    CURLM *multi;
    struct resolver_wait *next, *previous;
    bool answered;
    int error; /* with answered; 0: there are addresses */
};

struct resolver_answer {
    uint64_t version; /* another one for other addresses; 0: none yet */
    char *addresses;  /* owned by the caller: "192.0.2.1,[2001:db8::1]", by preference; NULL unless version has changed */
};

enum resolver_state {
    RESOLVER_KNOWN,
    RESOLVER_WAITING, /* multi is woken when there is an answer: ask again then */
    RESOLVER_FAILED   /* *ret_error, for gai_strerror */
};

/* answer->version: whose addresses the caller has. now_ms: clock_mono_ms. Waits for nothing itself. */
enum resolver_state resolver_ask(struct resolver_host *host, struct resolver_wait *wait, CURLM *multi, int64_t now_ms, struct resolver_answer *answer,
                                 int *ret_error);
/* Waits no more. Nothing if it doesn't. */
void resolver_leave(struct resolver_wait *wait);
/* Nobody could be reached by the addresses of this version: the next who asks has them looked up. */
void resolver_doubt(struct resolver_host *host, uint64_t version, int64_t now_ms);

#endif
