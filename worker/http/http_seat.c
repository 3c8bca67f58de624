#include "http/http_seat.h"

#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "http/http_body.h"
#include "http/http_unpack.h"

void http_seat_destroy(struct http_seat *seat)
{
    if (seat == NULL)
        return;
    for (size_t i = 0; i < seat->count; i++) {
        curl_easy_cleanup(seat->calls[i].easy);
        curl_slist_free_all(seat->calls[i].addresses);
        free(seat->calls[i].body);
        http_unpacker_destroy(seat->calls[i].unpacker);
    }
    curl_multi_cleanup(seat->multi);
    free(seat);
}

struct http_seat *http_seat_create(const struct http_world *world)
{
    struct http_seat *seat = xcalloc(1, sizeof *seat + world->count * sizeof seat->calls[0]);
    seat->world = world;
    seat->count = world->count;
    seat->multi = curl_multi_init();
    for (size_t i = 0; i < world->count; i++)
        seat->calls[i].body_bytes_max = world->places[i].response_bytes_max;
    /* Out of descriptors, a multi comes without its wake-up pair, and a wait on it could not be ended: try it. The byte
     * it leaves costs the first call one turn of its loop. */
    if (seat->multi == NULL || curl_multi_wakeup(seat->multi) != CURLM_OK || !http_call_prepare(seat, 0)) {
        http_seat_destroy(seat);
        return NULL;
    }
    curl_multi_setopt(seat->multi, CURLMOPT_MAXCONNECTS, (long)world->count);
    return seat;
}

struct http_call *http_seat_call(struct http_seat *seat, size_t target)
{
    return &seat->calls[target];
}

/* ---- waiting ---- */

/* When this call's own patience ends. */
static int64_t limit_of(const struct http_seat *seat, const struct http_call *call)
{
    const struct http_request *request = call->request;
    int64_t limit = request->until_ms;
    int64_t connected = call->started_ms + http_call_place(seat, call)->connect_timeout_ms;
    if (!call->went_out)
        return connected < limit ? connected : limit;
    if (request->sink == NULL)
        return limit;
    int64_t quiet = call->progress_ms == 0 ? request->first_ms : request->idle_ms;
    int64_t since = call->progress_ms == 0 ? call->started_ms : call->progress_ms;
    return quiet > 0 && since + quiet < limit ? since + quiet : limit;
}

static void end_call(struct http_seat *seat, struct http_call *call, enum http_end end, CURLcode code)
{
    http_body_over(call);
    call->end = end;
    call->code = code;
    seat->running--;
    seat->unresolved -= !call->went_out;
}

/* Has its server moved? The next call has the name looked up. */
static void doubt_addresses(const struct http_seat *seat, const struct http_call *call)
{
    const struct http_place *place = http_call_place(seat, call);
    if (place->host != NULL && call->went_out && !http_call_was_sent(call))
        resolver_doubt(place->host, call->addresses_version, clock_mono_ms());
}

static bool is_of_connecting(CURLcode code)
{
    return code == CURLE_COULDNT_CONNECT || code == CURLE_OPERATION_TIMEDOUT || code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION;
}

static bool take_message(struct http_seat *seat, size_t *ret_target)
{
    int left = 0;
    const CURLMsg *message = curl_multi_info_read(seat->multi, &left);
    if (message == NULL || message->msg != CURLMSG_DONE)
        return false;
    struct http_call *call = NULL;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
    end_call(seat, call, HTTP_DONE, message->data.result);
    if (is_of_connecting(call->code))
        doubt_addresses(seat, call);
    *ret_target = (size_t)(call - seat->calls);
    return true;
}

/* Sends out what has its address by now; true: the first whose host has none has ended. */
static bool take_unresolved(struct http_seat *seat, size_t *ret_target)
{
    for (size_t i = 0; i < seat->count && seat->unresolved > 0 && !seat->broken; i++) {
        struct http_call *call = &seat->calls[i];
        const struct http_place *place = http_call_place(seat, call);
        if (call->request == NULL || call->end != HTTP_RUNNING || call->went_out)
            continue;
        if (http_call_is_resolved(seat, call)) {
            seat->unresolved -= http_call_send_out(seat, call);
        } else if (call->resolve_error != 0) {
            snprintf(call->problem, sizeof call->problem, "Could not resolve %s: %s (%s)", place->proxy != NULL ? "proxy" : "host", place->host_name,
                     gai_strerror(call->resolve_error));
            end_call(seat, call, HTTP_DONE, place->proxy != NULL ? CURLE_COULDNT_RESOLVE_PROXY : CURLE_COULDNT_RESOLVE_HOST);
            *ret_target = i;
            return true;
        }
    }
    return false;
}

/* The first whose time is up; else *ret_next is when that will be. */
static bool take_timeout(struct http_seat *seat, int64_t now_ms, size_t *ret_target, int64_t *ret_next_ms)
{
    for (size_t i = 0; i < seat->count; i++) {
        struct http_call *call = &seat->calls[i];
        if (call->request == NULL || call->end != HTTP_RUNNING)
            continue;
        int64_t limit_ms = limit_of(seat, call);
        if (limit_ms <= now_ms) {
            end_call(seat, call, HTTP_TIMED_OUT, CURLE_OK);
            doubt_addresses(seat, call);
            *ret_target = i;
            return true;
        }
        if (limit_ms < *ret_next_ms)
            *ret_next_ms = limit_ms;
    }
    return false;
}

static enum http_event wait_for_one(struct http_seat *seat, int64_t until_ms, struct http_cancel *cancel, size_t *ret_target)
{
    for (;;) {
        int running = 0;
        if (http_cancel_is_fired(cancel))
            return HTTP_CANCELLED;
        if (take_message(seat, ret_target)) /* another that ended in the same turn */
            return HTTP_ENDED;
        if (take_unresolved(seat, ret_target))
            return HTTP_ENDED;
        if (seat->broken || curl_multi_perform(seat->multi, &running) != CURLM_OK)
            break;
        if (running < seat->running && take_message(seat, ret_target))
            return HTTP_ENDED;
        int64_t now_ms = clock_mono_ms();
        int64_t next_ms = until_ms;
        if (take_timeout(seat, now_ms, ret_target, &next_ms))
            return HTTP_ENDED;
        int64_t left_ms = next_ms - now_ms;
        if (left_ms <= 0)
            return HTTP_TIME;
        if (curl_multi_poll(seat->multi, NULL, 0, left_ms < INT_MAX ? (int)left_ms : INT_MAX, NULL) != CURLM_OK)
            break;
    }
    seat->broken = true;
    return HTTP_BROKEN;
}

enum http_event http_seat_wait(struct http_seat *seat, int64_t until_ms, struct http_cancel *cancel, size_t *ret_target)
{
    http_cancel_attach(cancel, seat->multi);
    enum http_event event = wait_for_one(seat, until_ms, cancel, ret_target);
    http_cancel_attach(cancel, NULL);
    return event;
}
