#include "http/http_client.h"

#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/thread_memory.h"
#include "http/http_body.h"
#include "http/http_loop.h"
#include "http/http_unpack.h"

static void wake_multi(void *multi)
{
    curl_multi_wakeup(multi);
}

void http_client_destroy(struct http_client *client)
{
    if (client == NULL)
        return;
    for (size_t i = 0; i < client->count; i++) {
        http_connection_close(&client->calls[i].connection);
        curl_easy_cleanup(client->calls[i].connection.easy);
        http_exchange_finish(&client->calls[i].exchange);
        curl_slist_free_all(client->calls[i].addresses);
        free(client->calls[i].body);
        http_unpacker_destroy(client->calls[i].unpacker);
    }
    if (client->watch != NULL)
        http_loop_remove(client);
    else
        curl_multi_cleanup(client->multi);
    free(client->sockets);
    free(client);
}

/* Without free descriptors a multi lacks its wake-up pair, and a wait on it could not be ended: try it. The byte that this leaves costs the first call
 * one turn of its loop. */
static bool make_multi(struct http_client *client)
{
    client->sockets = xcalloc(client->count, sizeof *client->sockets);
    client->multi = curl_multi_init();
    client->wake = (struct http_wake){wake_multi, client->multi};
    if (client->multi == NULL || curl_multi_wakeup(client->multi) != CURLM_OK || !http_call_prepare(client, 0))
        return false;
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)client->count);
    return true;
}

struct http_client *http_client_create(const struct http_world *world, struct http_loop *loop)
{
    struct http_client *client = xcalloc(1, sizeof *client + world->count * sizeof client->calls[0]);
    client->world = world;
    client->count = world->count;
    for (size_t i = 0; i < world->count; i++) {
        http_connection_init(&client->calls[i].connection);
        client->calls[i].client = client;
        client->calls[i].body_bytes_max = world->places[i].response_bytes_max;
    }
    if (loop != NULL ? http_loop_add(loop, client) : make_multi(client))
        return client;
    http_client_destroy(client);
    return NULL;
}

struct http_call *http_client_call(struct http_client *client, size_t target)
{
    return &client->calls[target];
}

/* ---- waiting ---- */

/* When this call times out: by its request's limits, or by connect_timeout_ms while it has no address. */
static int64_t limit_of(const struct http_client *client, const struct http_call *call)
{
    const struct http_request *request = call->request;
    int64_t limit = request->until_ms;
    int64_t resolved = call->resolving_ms + http_call_place(client, call)->connect_timeout_ms;
    if (call->stage == HTTP_CALL_RESOLVING)
        return resolved < limit ? resolved : limit;
    if (request->sink == NULL)
        return limit;
    int64_t quiet = call->progress_ms == 0 ? request->first_ms : request->idle_ms;
    int64_t since = call->progress_ms == 0 ? call->started_ms : call->progress_ms;
    return quiet > 0 && since + quiet < limit ? since + quiet : limit;
}

static bool is_running(const struct http_call *call)
{
    return call->request != NULL && call->end == HTTP_RUNNING;
}

static void end_call(struct http_client *client, struct http_call *call, enum http_end end, CURLcode code)
{
    http_body_over(call);
    http_call_over(client, call, end, code);
}

/* The server may have moved: the next call looks the name up again. */
static void doubt_addresses(const struct http_client *client, const struct http_call *call)
{
    const struct http_place *place = http_call_place(client, call);
    if (place->host != NULL && call->is_resolved && !http_call_was_sent(call))
        resolver_doubt(place->host, call->addresses_version, clock_mono_ms());
}

static bool is_of_connecting(CURLcode code)
{
    return code == CURLE_COULDNT_CONNECT || code == CURLE_OPERATION_TIMEDOUT || code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION;
}

void http_client_take_messages(CURLM *multi, void (*told)(struct http_client *client))
{
    const CURLMsg *message;
    int left = 0;
    while ((message = curl_multi_info_read(multi, &left)) != NULL) {
        struct http_call *call = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
        if (call->stage != HTTP_CALL_CONNECTING)
            continue;
        call->is_made = true;
        call->made = message->data.result;
        if (told != NULL)
            told(call->client);
    }
}

/* True: a call has ended, since its connection could not be made. */
static bool take_connections(struct http_client *client, size_t *ret_target)
{
    for (size_t i = 0; i < client->count && client->connecting > 0; i++) {
        struct http_call *call = &client->calls[i];
        if (!is_running(call) || call->stage != HTTP_CALL_CONNECTING || !call->is_made)
            continue;
        if (call->made == CURLE_OK && http_connection_opened(&call->connection)) {
            client->connecting--;
            http_call_connected(call);
            continue;
        }
        if (is_of_connecting(call->made))
            doubt_addresses(client, call);
        end_call(client, call, HTTP_DONE, call->made != CURLE_OK ? call->made : CURLE_COULDNT_CONNECT);
        *ret_target = i;
        return true;
    }
    return false;
}

/* Connects calls whose address is known by now; true: a call has ended, whose look-up failed or whose URL is bad. */
static bool take_unresolved(struct http_client *client, size_t *ret_target)
{
    for (size_t i = 0; i < client->count && client->unresolved > 0 && !client->broken; i++) {
        struct http_call *call = &client->calls[i];
        const struct http_place *place = http_call_place(client, call);
        if (!is_running(call) || call->stage != HTTP_CALL_RESOLVING || http_call_connect(client, call) || client->broken)
            continue;
        if (!call->has_bad_url && call->resolve_error == 0)
            continue;
        if (call->resolve_error != 0)
            snprintf(call->problem, sizeof call->problem, "Could not resolve %s: %s (%s)", place->proxy != NULL ? "proxy" : "host", place->host_name,
                     gai_strerror(call->resolve_error));
        CURLcode unresolved = place->proxy != NULL ? CURLE_COULDNT_RESOLVE_PROXY : CURLE_COULDNT_RESOLVE_HOST;
        end_call(client, call, HTTP_DONE, call->has_bad_url ? CURLE_URL_MALFORMAT : unresolved);
        *ret_target = i;
        return true;
    }
    return false;
}

/* Sends and receives; true: a call has ended. */
static bool take_turns(struct http_client *client, size_t *ret_target)
{
    for (size_t i = 0; i < client->count; i++) {
        struct http_call *call = &client->calls[i];
        CURLcode code;
        if (is_running(call) && call->stage == HTTP_CALL_EXCHANGING && call->is_ready && http_call_turn(client, call, &code)) {
            end_call(client, call, HTTP_DONE, code);
            *ret_target = i;
            return true;
        }
    }
    return false;
}

/* The first call that has timed out; else *ret_next_ms is when the next will, or at once while one is ready: its turn ended before all was received. */
static bool take_timeout(struct http_client *client, int64_t now_ms, size_t *ret_target, int64_t *ret_next_ms)
{
    for (size_t i = 0; i < client->count; i++) {
        struct http_call *call = &client->calls[i];
        if (!is_running(call))
            continue;
        int64_t limit_ms = limit_of(client, call);
        if (limit_ms <= now_ms) {
            doubt_addresses(client, call);
            end_call(client, call, HTTP_TIMED_OUT, CURLE_OK);
            *ret_target = i;
            return true;
        }
        if (call->stage == HTTP_CALL_EXCHANGING && call->is_ready)
            *ret_next_ms = now_ms;
        else if (limit_ms < *ret_next_ms)
            *ret_next_ms = limit_ms;
    }
    return false;
}

/* A thread's client: what its connections have come to. On a loop libcurl is driven by events. False: libcurl can't go on. */
static bool run_libcurl(struct http_client *client)
{
    int running = 0;
    if (client->watch != NULL || client->connecting == 0)
        return true;
    client->ran_libcurl = true;
    if (curl_multi_perform(client->multi, &running) != CURLM_OK)
        return false;
    http_client_take_messages(client->multi, NULL);
    return true;
}

enum http_event http_client_look(struct http_client *client, int64_t until_ms, struct http_cancel *cancel, size_t *ret_target, int64_t *ret_next_ms)
{
    if (http_cancel_is_fired(cancel))
        return HTTP_CANCELLED;
    if (take_unresolved(client, ret_target))
        return HTTP_ENDED;
    client->broken = client->broken || !run_libcurl(client);
    if (client->broken)
        return HTTP_BROKEN;
    /* A call that begins again may be unresolved, and its look-up fail at once. */
    if (take_connections(client, ret_target) || take_turns(client, ret_target) || take_unresolved(client, ret_target))
        return HTTP_ENDED;
    int64_t now_ms = clock_mono_ms();
    *ret_next_ms = until_ms;
    if (take_timeout(client, now_ms, ret_target, ret_next_ms))
        return HTTP_ENDED;
    if (client->broken)
        return HTTP_BROKEN;
    return until_ms <= now_ms ? HTTP_TIME : HTTP_WAITING;
}

/* ---- a thread's wait ---- */

/* Waits until a call has something to send or to receive, libcurl has something to do for a connection, or someone wakes the multi handle. */
static void wait_for_sockets(struct http_client *client, int64_t wait_ms)
{
    unsigned count = 0;
    for (size_t i = 0; i < client->count; i++) {
        const struct http_call *call = &client->calls[i];
        if (!is_running(call) || call->stage != HTTP_CALL_EXCHANGING)
            continue;
        client->sockets[count++] =
            (struct curl_waitfd){.fd = call->connection.socket, .events = CURL_WAIT_POLLIN | (http_exchange_has_unsent(&call->exchange) ? CURL_WAIT_POLLOUT : 0)};
    }
    if (curl_multi_poll(client->multi, client->sockets, count, wait_ms < INT_MAX ? (int)wait_ms : INT_MAX, NULL) != CURLM_OK)
        client->broken = true;
    for (size_t i = 0, at = 0; i < client->count; i++) {
        struct http_call *call = &client->calls[i];
        if (is_running(call) && call->stage == HTTP_CALL_EXCHANGING)
            call->is_ready = client->sockets[at++].revents != 0 || call->is_ready;
    }
}

void http_client_block(struct http_client *client, int64_t until_ms, struct http_cancel *cancel)
{
    if (client->ran_libcurl && client->connecting == 0) { /* its frames, and OpenSSL's, are the deepest that a thread has */
        (void)thread_memory_trim_stack();
        client->ran_libcurl = false;
    }
    int64_t wait_ms = until_ms - clock_mono_ms();
    http_cancel_attach(cancel, &client->wake);
    if (!http_cancel_is_fired(cancel)) /* a fire after this wakes the multi handle */
        wait_for_sockets(client, wait_ms > 0 ? wait_ms : 0);
    http_cancel_attach(cancel, NULL);
}

enum http_event http_client_wait(struct http_client *client, int64_t until_ms, struct http_cancel *cancel, size_t *ret_target)
{
    int64_t next_ms;
    enum http_event event;
    while ((event = http_client_look(client, until_ms, cancel, ret_target, &next_ms)) == HTTP_WAITING)
        http_client_block(client, next_ms, cancel);
    return event;
}
