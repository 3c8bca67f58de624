#include "http/resolver.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mutex.h"
#include "telemetry/metrics.h"

#define ADDRESSES_MAX 16 /* of a host; more don't help */

struct resolver_host {
    struct resolver *resolver;
    struct resolver_host *next;
    char *name;
    /* Guarded by the resolver's lock, as the members below. */
    bool running;          /* a look-up is under way */
    int64_t tried_ms;      /* the last one's end */
    int64_t good_until_ms; /* 0: none is known */
    int64_t known_ms;      /* when the addresses came */
    uint64_t version;
    char *addresses;
    struct resolver_wait *waiting;
};

struct resolver {
    resolver_lookup *lookup;
    void (*free_addresses)(struct addrinfo *);
    struct mutex lock;
    size_t references; /* its owner's, and one for each look-up under way; guarded by lock */
    struct resolver_host *hosts;
};

/* ---- one look-up: on its own thread, without the lock ---- */

static bool append_address(char *text, size_t size, const struct addrinfo *address)
{
    char number[64];
    size_t used = strlen(text);
    if (getnameinfo(address->ai_addr, address->ai_addrlen, number, sizeof number, NULL, 0, NI_NUMERICHOST) != 0)
        return false;
    number[strcspn(number, "%")] = '\0'; /* without a scope, which libcurl doesn't parse */
    bool is_v6 = address->ai_family == AF_INET6;
    snprintf(text + used, size - used, "%s%s%s%s", used > 0 ? "," : "", is_v6 ? "[" : "", number, is_v6 ? "]" : "");
    return true;
}

/* Both families, in getaddrinfo's order of preference: libcurl tries which of them connects. */
static int look_up(const struct resolver *resolver, const char *name, char **ret_addresses)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char text[ADDRESSES_MAX * 64] = "";
    size_t count = 0;
    int error = resolver->lookup(name, NULL, &hints, &found);
    if (error != 0)
        return error;
    for (const struct addrinfo *each = found; each != NULL && count < ADDRESSES_MAX; each = each->ai_next)
        count += append_address(text, sizeof text, each);
    resolver->free_addresses(found);
    if (count == 0)
        return EAI_NONAME;
    *ret_addresses = xstrdup(text);
    return 0;
}

/* ---- its result ---- */

static void unlink_wait(struct resolver_wait *wait)
{
    if (wait->next != NULL)
        wait->next->previous = wait->previous;
    *(wait->previous != NULL ? &wait->previous->next : &wait->host->waiting) = wait->next;
    wait->next = wait->previous = NULL;
}

/* The name doesn't exist any more: its old addresses must not be used. */
static bool is_final(int error)
{
#ifdef EAI_NODATA
    if (error == EAI_NODATA)
        return true;
#endif
    return error == EAI_NONAME;
}

/* The name service is away, the addresses aren't too old. */
static bool may_go_on(const struct resolver_host *host, int error, int64_t now_ms)
{
    return host->addresses != NULL && !is_final(error) && now_ms - host->known_ms < RESOLVER_STALE_MS;
}

static void take_addresses(struct resolver_host *host, char **addresses, int64_t now_ms)
{
    host->known_ms = now_ms;
    host->good_until_ms = now_ms + RESOLVER_GOOD_MS;
    if (host->addresses != NULL && strcmp(host->addresses, *addresses) == 0)
        return;
    free(host->addresses);
    host->addresses = steal_ptr(addresses);
    host->version++;
}

/* Returns the error for the waiting calls; 0: there are addresses. */
static int take_result(struct resolver_host *host, int error, char **addresses, int64_t now_ms)
{
    host->running = false;
    host->tried_ms = now_ms;
    if (error == 0) {
        take_addresses(host, addresses, now_ms);
    } else if (may_go_on(host, error, now_ms)) {
        host->good_until_ms = now_ms + RESOLVER_GOOD_MS - RESOLVER_RENEW_MS;
        error = 0;
    } else {
        host->good_until_ms = 0;
        free(steal_ptr(&host->addresses));
    }
    return error;
}

/* Wakes the waiting calls under the lock, so that none can end its client meanwhile. */
static void tell_all(struct resolver_host *host, int error)
{
    while (host->waiting != NULL) {
        struct resolver_wait *wait = host->waiting;
        unlink_wait(wait);
        wait->answered = true;
        wait->error = error;
        http_wake_call(&wait->wake);
    }
}

/* Called with the lock held, returns without it: the last reference frees everything. */
static void give_back(struct resolver *resolver) TSA(no_thread_safety_analysis)
{
    bool last = --resolver->references == 0;
    mutex_unlock(&resolver->lock);
    if (!last)
        return;
    for (struct resolver_host *host; (host = resolver->hosts) != NULL;) {
        resolver->hosts = host->next;
        free(host->addresses);
        free(host->name);
        free(host);
    }
    mutex_destroy(&resolver->lock);
    free(resolver);
}

static void *lookup_main(void *arg) TSA(no_thread_safety_analysis)
{
    struct resolver_host *host = arg;
    struct resolver *resolver = host->resolver;
    AUTO_FREE char *addresses = NULL;
    pthread_setname_np(pthread_self(), "chat-resolve");
    METRIC_INC(dns_lookups_total);
    int error = look_up(resolver, host->name, &addresses);
    METRIC_ADD(dns_failures_total, error != 0);
    mutex_lock(&resolver->lock);
    int told = take_result(host, error, &addresses, clock_mono_ms());
    if (error != 0 && told == 0) /* else each call reports it */
        log_warn("dns_failed", F_STR("host", host->name), F_STR("error", gai_strerror(error)), F_STR("hint", "its last addresses are used on"));
    tell_all(host, told);
    give_back(resolver);
    return NULL;
}

/* False: no thread can be started. */
static bool begin_locked(struct resolver_host *host) REQUIRES(host->resolver->lock)
{
    pthread_t thread;
    pthread_attr_t attributes;
    if (host->running)
        return true;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    host->running = pthread_create(&thread, &attributes, lookup_main, host) == 0;
    pthread_attr_destroy(&attributes);
    host->resolver->references += host->running;
    return host->running;
}

/* ---- asking ---- */

static void copy_answer(const struct resolver_host *host, struct resolver_answer *answer)
{
    answer->addresses = host->version != answer->version ? xstrdup(host->addresses) : NULL;
    answer->version = host->version;
}

static enum resolver_state ask_locked(struct resolver_host *host, struct resolver_wait *wait, const struct http_wake *wake, int64_t now_ms,
                                      struct resolver_answer *answer, int *ret_error) REQUIRES(host->resolver->lock)
{
    if (wait->host != NULL && !wait->answered)
        return RESOLVER_WAITING;
    bool answered = wait->answered;
    *ret_error = wait->error;
    *wait = (struct resolver_wait){0};
    if (answered && *ret_error != 0)
        return RESOLVER_FAILED;
    /* A call that waited for an answer may use it, however late it wakes. */
    bool known = host->addresses != NULL && (answered || host->good_until_ms > now_ms);
    bool soon = host->good_until_ms - now_ms <= RESOLVER_GOOD_MS - RESOLVER_RENEW_MS && now_ms - host->tried_ms >= RESOLVER_AGAIN_MS;
    if (known && soon)
        (void)begin_locked(host);
    if (known) {
        copy_answer(host, answer);
        return RESOLVER_KNOWN;
    }
    if (!begin_locked(host)) {
        *ret_error = EAI_MEMORY;
        return RESOLVER_FAILED;
    }
    *wait = (struct resolver_wait){.host = host, .wake = *wake, .next = host->waiting};
    if (host->waiting != NULL)
        host->waiting->previous = wait;
    host->waiting = wait;
    return RESOLVER_WAITING;
}

enum resolver_state resolver_ask(struct resolver_host *host, struct resolver_wait *wait, const struct http_wake *wake, int64_t now_ms,
                                 struct resolver_answer *answer, int *ret_error)
{
    answer->addresses = NULL;
    mutex_lock(&host->resolver->lock);
    enum resolver_state state = ask_locked(host, wait, wake, now_ms, answer, ret_error);
    mutex_unlock(&host->resolver->lock);
    return state;
}

void resolver_leave(struct resolver_wait *wait)
{
    if (wait->host == NULL)
        return;
    struct resolver *resolver = wait->host->resolver;
    mutex_lock(&resolver->lock);
    if (!wait->answered)
        unlink_wait(wait);
    mutex_unlock(&resolver->lock);
    *wait = (struct resolver_wait){0};
}

void resolver_doubt(struct resolver_host *host, uint64_t version, int64_t now_ms)
{
    mutex_lock(&host->resolver->lock);
    if (version == host->version && now_ms - host->tried_ms >= RESOLVER_AGAIN_MS)
        host->good_until_ms = 0;
    mutex_unlock(&host->resolver->lock);
}

/* ---- the whole ---- */

struct resolver *resolver_create(resolver_lookup *lookup, void (*free_addresses)(struct addrinfo *))
{
    struct resolver *resolver = xcalloc(1, sizeof *resolver);
    resolver->lookup = lookup;
    resolver->free_addresses = free_addresses;
    resolver->references = 1;
    mutex_init(&resolver->lock);
    return resolver;
}

void resolver_destroy(struct resolver *resolver) TSA(no_thread_safety_analysis)
{
    if (resolver == NULL)
        return;
    mutex_lock(&resolver->lock);
    give_back(resolver);
}

struct resolver_host *resolver_host(struct resolver *resolver, const char *name)
{
    for (struct resolver_host *host = resolver->hosts; host != NULL; host = host->next)
        if (strcasecmp(host->name, name) == 0)
            return host;
    struct resolver_host *host = xcalloc(1, sizeof *host);
    host->resolver = resolver;
    host->name = xstrdup(name);
    host->next = resolver->hosts;
    resolver->hosts = host;
    return host;
}
