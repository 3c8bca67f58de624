#include "http/http_loop.h"

#include <curl/curl.h>
#include <event2/event_struct.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/http_client.h"
#include "telemetry/loop_turns.h"

/* One multi handle and its clients. */
struct shard {
    struct http_loop *loop;
    CURLM *multi;
    struct event timer; /* libcurl's */
    size_t count;
    struct http_watch *clients;
    struct shard *next;
    bool broken; /* libcurl can't go on: its clients are broken, and no further ones get it */
};

struct http_loop {
    struct event_base *base;
    struct http_wake wake;
    size_t clients_per_shard;
    struct shard *shards;
};

/* A socket on which libcurl connects. */
struct connecting {
    struct event event;
    struct shard *shard;
};

struct watched_call {
    struct event event;
    short kinds; /* that it is added for; 0: it isn't */
    struct http_watch *watch;
    struct http_call *call;
};

struct http_watch {
    struct shard *shard;
    struct http_client *client;
    struct http_watch *previous, *next; /* of its shard */
    struct http_watch *next_told;
    bool is_told;
    void (*ready)(void *arg); /* NULL: nobody waits */
    void *arg;
    struct event timer;
    int64_t due_ms; /* of timer; INT64_MAX: it isn't added */
    struct watched_call calls[]; /* by target */
};

static struct timeval interval_of(int64_t ms)
{
    return (struct timeval){.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
}

/* ---- a client's wait ---- */

static void call_ready(struct http_watch *watch)
{
    void (*ready)(void *arg) = watch->ready;
    watch->ready = NULL;
    if (ready != NULL)
        ready(watch->arg);
}

static void timer_fired(evutil_socket_t fd, short what, void *arg)
{
    struct http_watch *watch = arg;
    (void)fd, (void)what;
    loop_turn_begin(TURN_TIMER);
    watch->due_ms = INT64_MAX;
    call_ready(watch);
    loop_turn_end();
}

/* Before its socket is closed, and while nobody wants to know: it would be told of the same again and again. */
static void unwatch(void *arg)
{
    struct watched_call *watched = arg;
    if (watched->kinds != 0)
        event_del(&watched->event);
    watched->kinds = 0;
}

static void socket_fired(evutil_socket_t fd, short what, void *arg);

static void watch_for(struct watched_call *watched, short kinds)
{
    kinds |= EV_PERSIST;
    if (watched->kinds == kinds)
        return;
    unwatch(watched);
    event_assign(&watched->event, watched->watch->shard->loop->base, watched->call->connection.socket, kinds, socket_fired, watched);
    event_add(&watched->event, NULL);
    watched->kinds = kinds;
}

static bool is_exchanging(const struct http_call *call)
{
    return call->request != NULL && call->end == HTTP_RUNNING && call->stage == HTTP_CALL_EXCHANGING;
}

static void watch_call(struct watched_call *watched)
{
    if (is_exchanging(watched->call))
        watch_for(watched, http_exchange_has_unsent(&watched->call->exchange) ? EV_READ | EV_WRITE : EV_READ);
}

static void socket_fired(evutil_socket_t fd, short what, void *arg)
{
    struct watched_call *watched = arg;
    struct http_call *call = watched->call;
    (void)fd, (void)what;
    loop_turn_begin(TURN_SOCKET);
    if (is_exchanging(call)) {
        call->is_ready = true;
        if (watched->watch->ready == NULL)
            unwatch(watched);
        call_ready(watched->watch);
    } else if (http_connection_is_usable(&call->connection, clock_mono_ms())) { /* else it is closed */
        watch_for(watched, EV_READ);
    }
    loop_turn_end();
}

void http_loop_wait(struct http_client *client, int64_t until_ms, void (*ready)(void *arg), void *arg)
{
    struct http_watch *watch = client->watch;
    watch->ready = ready;
    watch->arg = arg;
    for (size_t i = 0; i < client->count; i++)
        watch_call(&watch->calls[i]);
    if (until_ms >= watch->due_ms) /* the timer fires before that, and then the client is looked at and waits on */
        return;
    int64_t wait_ms = until_ms - clock_mono_ms();
    struct timeval wait = interval_of(wait_ms > 0 ? wait_ms : 0);
    event_add(&watch->timer, &wait);
    watch->due_ms = until_ms;
}

void http_loop_leave(struct http_client *client)
{
    client->watch->ready = NULL;
}

bool http_loop_is_unresolved(const struct http_client *client)
{
    return client->unresolved > 0;
}

/* ---- libcurl, while it connects ---- */

/* Between libcurl telling of connections and the clients looking at them. */
static _Thread_local struct http_watch *told_first;

static void note_told(struct http_client *client)
{
    struct http_watch *watch = client->watch;
    if (watch->is_told)
        return;
    watch->is_told = true;
    watch->next_told = told_first;
    told_first = watch;
}

static void break_clients(struct shard *shard, CURLMcode code)
{
    if (!shard->broken)
        log_error("libcurl_broken", F_STR("error", curl_multi_strerror(code)), F_STR("hint", "its calls are lost, and tried again on other connections"));
    shard->broken = true;
    for (struct http_watch *watch = shard->clients; watch != NULL; watch = watch->next) {
        watch->client->broken = true;
        note_told(watch->client);
    }
}

static void act(struct shard *shard, curl_socket_t socket, int what)
{
    int running = 0;
    CURLMcode code = curl_multi_socket_action(shard->multi, socket, what, &running);
    if (code != CURLM_OK)
        break_clients(shard, code);
    http_client_take_messages(shard->multi, note_told);
    for (struct http_watch *watch; (watch = told_first) != NULL;) {
        told_first = watch->next_told;
        watch->is_told = false;
        call_ready(watch);
    }
}

static void shard_timer_fired(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    loop_turn_begin(TURN_CONNECT_TIMER);
    act(arg, CURL_SOCKET_TIMEOUT, 0);
    loop_turn_end();
}

static void connecting_fired(evutil_socket_t fd, short what, void *arg)
{
    const struct connecting *connecting = arg;
    loop_turn_begin(TURN_CONNECT_SOCKET);
    act(connecting->shard, fd, ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) | ((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0));
    loop_turn_end();
}

/* libcurl's callbacks: they call nothing of libcurl that acts. */

static int want_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct shard *shard = arg;
    (void)multi;
    struct timeval wait = interval_of(timeout_ms);
    if (timeout_ms < 0)
        event_del(&shard->timer);
    else
        event_add(&shard->timer, &wait);
    return 0;
}

static int want_socket(CURL *easy, curl_socket_t socket, int what, void *arg, void *of_socket)
{
    struct shard *shard = arg;
    struct connecting *connecting = of_socket;
    short kinds = EV_PERSIST;
    (void)easy;
    if (connecting != NULL)
        event_del(&connecting->event);
    if (what == CURL_POLL_REMOVE) {
        free(connecting);
        curl_multi_assign(shard->multi, socket, NULL);
        return 0;
    }
    if (connecting == NULL) {
        connecting = xcalloc(1, sizeof *connecting);
        connecting->shard = shard;
        curl_multi_assign(shard->multi, socket, connecting);
    }
    if ((what & CURL_POLL_IN) != 0)
        kinds |= EV_READ;
    if ((what & CURL_POLL_OUT) != 0)
        kinds |= EV_WRITE;
    event_assign(&connecting->event, shard->loop->base, socket, kinds, connecting_fired, connecting);
    event_add(&connecting->event, NULL);
    return 0;
}

/* ---- shards ---- */

static struct shard *shard_create(struct http_loop *loop)
{
    CURLM *multi = curl_multi_init();
    if (multi == NULL)
        return NULL;
    struct shard *shard = xcalloc(1, sizeof *shard);
    *shard = (struct shard){.loop = loop, .multi = multi, .next = loop->shards};
    loop->shards = shard;
    event_assign(&shard->timer, loop->base, -1, 0, shard_timer_fired, shard);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, want_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, shard);
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, shard);
    return shard;
}

static void shard_destroy(struct shard *shard)
{
    curl_multi_cleanup(shard->multi);
    event_del(&shard->timer);
    free(shard);
}

static struct shard *shard_with_room(struct http_loop *loop)
{
    for (struct shard *shard = loop->shards; shard != NULL; shard = shard->next)
        if (!shard->broken && shard->count < loop->clients_per_shard)
            return shard;
    return shard_create(loop);
}

bool http_loop_add(struct http_loop *loop, struct http_client *client)
{
    struct shard *shard = shard_with_room(loop);
    if (shard == NULL)
        return false;
    struct http_watch *watch = xcalloc(1, sizeof *watch + client->count * sizeof watch->calls[0]);
    *watch = (struct http_watch){.shard = shard, .client = client, .next = shard->clients, .due_ms = INT64_MAX};
    if (watch->next != NULL)
        watch->next->previous = watch;
    shard->clients = watch;
    shard->count++;
    curl_multi_setopt(shard->multi, CURLMOPT_MAXCONNECTS, (long)(shard->count * client->count));
    event_assign(&watch->timer, loop->base, -1, 0, timer_fired, watch);
    for (size_t i = 0; i < client->count; i++) {
        watch->calls[i].watch = watch;
        watch->calls[i].call = &client->calls[i];
        client->calls[i].connection.on_close = unwatch;
        client->calls[i].connection.on_close_arg = &watch->calls[i];
    }
    client->multi = shard->multi;
    client->wake = loop->wake;
    client->watch = watch;
    return true;
}

static void unlink_shard(struct http_loop *loop, struct shard *shard)
{
    struct shard **at = &loop->shards;
    while (*at != shard)
        at = &(*at)->next;
    *at = shard->next;
}

void http_loop_remove(struct http_client *client)
{
    struct http_watch *watch = client->watch;
    struct shard *shard = watch->shard;
    event_del(&watch->timer);
    *(watch->previous != NULL ? &watch->previous->next : &shard->clients) = watch->next;
    if (watch->next != NULL)
        watch->next->previous = watch->previous;
    for (struct http_watch **at = &told_first; watch->is_told && *at != NULL; at = &(*at)->next_told)
        if (*at == watch) {
            *at = watch->next_told;
            break;
        }
    client->watch = NULL;
    free(watch);
    if (--shard->count == 0 && shard->broken) {
        unlink_shard(shard->loop, shard);
        shard_destroy(shard);
    }
}

/* ---- the loop ---- */

struct http_loop *http_loop_create(struct event_base *base, size_t clients_per_shard, const struct http_wake *wake)
{
    struct http_loop *loop = xcalloc(1, sizeof *loop);
    *loop = (struct http_loop){.base = base, .wake = *wake, .clients_per_shard = clients_per_shard};
    return loop;
}

void http_loop_destroy(struct http_loop *loop)
{
    if (loop == NULL)
        return;
    for (struct shard *shard; (shard = loop->shards) != NULL;) {
        loop->shards = shard->next;
        shard_destroy(shard);
    }
    free(loop);
}
