#include "http/http_pool.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "http/http_address.h"
#include "http/http_head.h"
#include "http/http_loop.h"
#include "http/proxy_choice.h"
#include "tls/tls_trust.h"

#define IDLE_MS_MAX 60000
#define AGED_OUT_AT_ONCE 4 /* clients that one http_pool_give may close, so that it needn't close a thousand */

struct http_pool {
    struct http_world *world; /* its own, or that of the pool it was made of */
    bool owns_world;
    struct http_loop *loop; /* NULL: for threads */
    struct mutex share_mutexes[CURL_LOCK_DATA_LAST];
    struct mutex mutex; /* guards the stack */
    struct http_client *hottest, *coldest;
};

/* ---- take and give ---- */

static void unlink_client(struct http_pool *pool, struct http_client *client)
{
    *(client->hotter != NULL ? &client->hotter->colder : &pool->hottest) = client->colder;
    *(client->colder != NULL ? &client->colder->hotter : &pool->coldest) = client->hotter;
    client->hotter = client->colder = NULL;
}

static void push_hottest(struct http_pool *pool, struct http_client *client)
{
    client->hotter = NULL;
    client->colder = pool->hottest;
    *(client->colder != NULL ? &client->colder->hotter : &pool->coldest) = client;
    pool->hottest = client;
}

static enum status no_resources(struct error *err)
{
    return error_set(err, ERROR_UNAVAILABLE, "no_resources", "no descriptors left for another call: raise the limit of open files (ulimit -n)");
}

static struct http_client *take_hottest(struct http_pool *pool)
{
    mutex_lock(&pool->mutex);
    struct http_client *client = pool->hottest;
    if (client != NULL)
        unlink_client(pool, client);
    mutex_unlock(&pool->mutex);
    return client;
}

enum status http_pool_take(struct http_pool *pool, struct http_client **ret, struct error *err)
{
    struct http_client *client;
    while ((client = take_hottest(pool)) != NULL && client->broken) /* since its loop's libcurl broke, while it was idle */
        http_client_destroy(client);
    if (client == NULL)
        client = http_client_create(pool->world, pool->loop);
    if (client == NULL)
        return no_resources(err);
    *ret = client;
    return STATUS_OK;
}

void http_pool_give(struct http_pool *pool, struct http_client **given)
{
    struct http_client *client = steal_ptr(given);
    for (size_t i = 0; i < client->count; i++)
        http_call_end(client, i);
    if (client->watch != NULL)
        http_loop_leave(client);
    if (client->broken) {
        http_client_destroy(client);
        return;
    }
    struct http_client *aged[AGED_OUT_AT_ONCE];
    size_t aged_count = 0;
    client->idle_since_ms = clock_mono_ms();
    int64_t oldest_ms = client->idle_since_ms - IDLE_MS_MAX;
    mutex_lock(&pool->mutex);
    push_hottest(pool, client);
    while (aged_count < AGED_OUT_AT_ONCE && pool->coldest != NULL && pool->coldest->idle_since_ms < oldest_ms) {
        aged[aged_count++] = pool->coldest;
        unlink_client(pool, pool->coldest);
    }
    mutex_unlock(&pool->mutex);
    while (aged_count > 0)
        http_client_destroy(aged[--aged_count]);
}

/* A curl lock is acquired and released in two callbacks, which the analysis can't follow. */
static void share_lock(CURL *easy, curl_lock_data data, curl_lock_access access, void *arg) TSA(no_thread_safety_analysis)
{
    (void)easy;
    (void)access;
    mutex_lock(&((struct http_pool *)arg)->share_mutexes[data]);
}

static void share_unlock(CURL *easy, curl_lock_data data, void *arg) TSA(no_thread_safety_analysis)
{
    (void)easy;
    mutex_unlock(&((struct http_pool *)arg)->share_mutexes[data]);
}

/* ---- the pool ---- */

static enum status blame(const struct http_target *target, const char *setting, const struct error *why, struct error *err)
{
    return error_set(err, why->class, why->code, "%s: %s%s%s", target->name, setting, *setting != '\0' ? ": " : "", why->message);
}

/* One trust for each ca_file, and one for all targets without. */
static enum status find_trust(struct http_world *world, const struct http_target *target, struct http_place *place, struct error *err)
{
    struct error why = {0};
    for (struct http_place *each = world->places; each < place; each++) {
        bool same = (each->ca_file == NULL) == (target->ca_file == NULL) && (target->ca_file == NULL || strcmp(each->ca_file, target->ca_file) == 0);
        if (each->trust != NULL && same) {
            place->trust = each->trust;
            return STATUS_OK;
        }
    }
    if (tls_trust_create(target->ca_file, &place->trust, &why) != STATUS_OK)
        return blame(target, "", &why, err);
    place->owns_trust = true;
    return STATUS_OK;
}

/* libcurl's default for a proxy URL without a port. */
static const char *port_of_proxy(const struct http_address *proxy)
{
    return proxy->names_port ? proxy->port : strcasecmp(proxy->scheme, "https") == 0 ? "443" : "1080";
}

/* The host to look up for libcurl: the proxy if there is one (which looks up the server itself), else the server. */
static enum status find_hosts(struct http_world *world, const struct http_target *target, struct http_place *place, struct error *err)
{
    struct error why = {0};
    struct http_address server, proxy = {0};
    if (http_address_parse(target->url, &server, &why) != STATUS_OK)
        return blame(target, "url", &why, err);
    enum status status = proxy_choose(target->proxy, target->url, &place->proxy, &why);
    if (status == STATUS_OK && place->proxy != NULL)
        status = http_address_parse(place->proxy, &proxy, &why);
    if (status == STATUS_OK) {
        const struct http_address *asked = place->proxy != NULL ? &proxy : &server;
        if (!asked->is_literal) {
            place->host = resolver_host(world->resolver, asked->host);
            place->host_name = xstrdup(asked->host);
            place->host_port = xasprintf("%s:%s", asked->host, place->proxy != NULL ? port_of_proxy(asked) : asked->port);
        }
        bool tls = strcasecmp(server.scheme, "https") == 0 || (place->proxy != NULL && strcasecmp(proxy.scheme, "https") == 0);
        if (tls || target->ca_file != NULL)
            status = find_trust(world, target, place, err);
    } else {
        status = blame(target, "proxy", &why, err);
    }
    http_address_finish(&server);
    http_address_finish(&proxy);
    return status;
}

static enum status place_init(struct http_world *world, const struct http_target *from, struct http_place *place, struct error *err)
{
    *place = (struct http_place){.front = http_address_front(from->url),
                                 .ca_file = from->ca_file != NULL ? xstrdup(from->ca_file) : NULL,
                                 .connect_timeout_ms = from->connect_timeout_ms,
                                 .response_bytes_max = from->response_bytes_max};
    if (find_hosts(world, from, place, err) != STATUS_OK)
        return STATUS_FAILED;
    place->request_target = http_head_target(from->url, place->proxy);
    place->headers = http_head_headers(place->front, from->headers, place->proxy);
    return STATUS_OK;
}

static void place_finish(struct http_place *place)
{
    if (place->owns_trust)
        tls_trust_destroy(place->trust);
    free(place->front);
    free(place->request_target);
    free(place->headers);
    free(place->ca_file);
    free(place->proxy);
    free(place->host_name);
    free(place->host_port);
}

/* So that a first wave of calls only has to connect. */
static void prepare_clients(struct http_pool *pool, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct http_client *client = http_client_create(pool->world, NULL);
        if (client == NULL) /* no descriptors: the calls themselves will fail with that */
            break;
        client->idle_since_ms = clock_mono_ms();
        mutex_lock(&pool->mutex);
        push_hottest(pool, client);
        mutex_unlock(&pool->mutex);
    }
}

enum status http_pool_create(const struct http_target *targets, size_t count, size_t clients_prepared, struct http_pool **ret, struct error *err)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return error_set(err, ERROR_FATAL, "curl_failed", "libcurl can't start");
    struct http_pool *pool = xcalloc(1, sizeof *pool);
    mutex_init(&pool->mutex);
    for (size_t i = 0; i < CURL_LOCK_DATA_LAST; i++)
        mutex_init(&pool->share_mutexes[i]);
    pool->world = xcalloc(1, sizeof *pool->world);
    pool->owns_world = true;
    pool->world->count = count;
    pool->world->places = xcalloc(count, sizeof *pool->world->places);
    pool->world->share = curl_share_init();
    if (pool->world->share == NULL)
        abort(); /* memory */
    curl_share_setopt(pool->world->share, CURLSHOPT_USERDATA, pool);
    curl_share_setopt(pool->world->share, CURLSHOPT_LOCKFUNC, share_lock);
    curl_share_setopt(pool->world->share, CURLSHOPT_UNLOCKFUNC, share_unlock);
    curl_share_setopt(pool->world->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    pool->world->resolver = resolver_create(getaddrinfo, freeaddrinfo);
    for (size_t i = 0; i < count; i++) {
        if (place_init(pool->world, &targets[i], &pool->world->places[i], err) != STATUS_OK) {
            http_pool_destroy(pool);
            return STATUS_FAILED;
        }
    }
    prepare_clients(pool, clients_prepared);
    *ret = pool;
    return STATUS_OK;
}

struct http_pool *http_pool_of_loop(struct http_pool *pool, struct http_loop *loop)
{
    struct http_pool *own = xcalloc(1, sizeof *own);
    mutex_init(&own->mutex);
    own->world = pool->world;
    own->loop = loop;
    return own;
}

static void destroy_world(struct http_pool *pool)
{
    for (size_t i = 0; i < pool->world->count; i++)
        place_finish(&pool->world->places[i]);
    free(pool->world->places);
    resolver_destroy(pool->world->resolver);
    curl_share_cleanup(pool->world->share);
    for (size_t i = 0; i < CURL_LOCK_DATA_LAST; i++)
        mutex_destroy(&pool->share_mutexes[i]);
    free(pool->world);
    curl_global_cleanup();
}

void http_pool_destroy(struct http_pool *pool)
{
    if (pool == NULL)
        return;
    struct http_client *client;
    while ((client = pool->hottest) != NULL) {
        unlink_client(pool, client);
        http_client_destroy(client);
    }
    if (pool->owns_world)
        destroy_world(pool);
    mutex_destroy(&pool->mutex);
    free(pool);
}
