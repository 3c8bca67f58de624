#include "http/http_seat.h"

#include <assert.h>
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "http/http_unpack.h"
#include "tls/tls_trust.h"

#define CONNECTION_IDLE_S_MAX 60L /* under the idle time-outs of common load balancers */
#define RECEIVE_BUFFER_BYTES 4096L
#define UPLOAD_BUFFER_BYTES 16384L  /* curl's least; used by bodies over 64 KiB and by TLS */
#define ERROR_BODY_BYTES_MAX 262144U /* enough to class an error, though it quotes the request; the rest isn't worth waiting for */
#define KEEPALIVE_S 60L             /* a NAT forgets a silent connection; answers may take minutes */

/* ---- curl's callbacks: run on the thread of the call ---- */

int http_call_status(const struct http_call *call)
{
    long status = 0;
    if (call->went_out) /* else the handle still tells of the call before */
        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

static bool is_good(const struct http_call *call)
{
    int status = http_call_status(call);
    return status >= 200 && status <= 299;
}

static size_t bytes_max_of(const struct http_call *call)
{
    return !is_good(call) && call->body_bytes_max > ERROR_BODY_BYTES_MAX ? ERROR_BODY_BYTES_MAX : call->body_bytes_max;
}

/* Makes room for more bytes; false: that would pass the limit. */
static bool body_reserve(struct http_call *call, size_t more)
{
    size_t bytes_max = bytes_max_of(call);
    if (more > bytes_max || call->body_size > bytes_max - more)
        return false;
    size_t needed = call->body_size + more;
    if (call->body == NULL) {
        curl_off_t length = -1;
        curl_easy_getinfo(call->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
        if (length > (curl_off_t)bytes_max && is_good(call))
            return false;
        if (length > (curl_off_t)bytes_max)
            length = (curl_off_t)bytes_max;
        if (length > (curl_off_t)needed)
            needed = (size_t)length; /* announced: one allocation for the whole */
    }
    call->body = xgrow(call->body, &call->body_capacity, needed, 1);
    return true;
}

/* Of an error, its beginning. */
static bool keep(struct http_call *call, const char *data, size_t size)
{
    size_t room = bytes_max_of(call) - call->body_size;
    size_t kept = size > room && !is_good(call) ? room : size;
    call->body_too_large = kept < size || !body_reserve(call, kept);
    if (call->body_too_large && kept == size)
        return false;
    if (kept > 0 && body_reserve(call, kept)) {
        memcpy(call->body + call->body_size, data, kept);
        call->body_size += kept;
    }
    return !call->body_too_large;
}

/* What was kept until it was known is the sink's. */
static bool begin_stream(struct http_call *call)
{
    AUTO_FREE char *kept = steal_ptr(&call->body);
    size_t size = call->body_size;
    call->body_size = call->body_capacity = 0;
    return call->request->sink(call, kept, size, call->request->sink_arg);
}

/* Of a 2xx that may be a stream. */
static bool take_good(struct http_call *call, const char *data, size_t size)
{
    if (call->shape == HTTP_SHAPE_STREAM)
        return call->request->sink(call, data, size, call->request->sink_arg);
    for (; call->body_size == 0 && size > 0 && isspace((unsigned char)*data); size--) {
        data++;
        call->blanks++;
    }
    call->body_too_large = call->blanks > call->body_bytes_max;
    if (call->body_too_large || !keep(call, data, size))
        return false;
    if (call->shape == HTTP_SHAPE_OPEN && call->body_size > 0)
        call->shape = call->request->look(call->is_typed_stream, call->body, call->body_size);
    return call->shape != HTTP_SHAPE_STREAM || begin_stream(call);
}

/* Bytes of the body, unpacked. */
static bool take(const char *data, size_t size, void *arg)
{
    struct http_call *call = arg;
    return call->request->sink != NULL && is_good(call) ? take_good(call, data, size) : keep(call, data, size);
}

static bool unpack(struct http_call *call, const char *data, size_t size)
{
    enum status status = http_unpack(call->unpacker, data, size, take, call);
    call->body_damaged = status == STATUS_FAILED;
    return status == STATUS_OK;
}

static bool pass_on(struct http_call *call, const char *data, size_t size)
{
    return call->unpacker != NULL ? unpack(call, data, size) : take(data, size, call);
}

/* Two bytes say whether it is packed; the first, where it comes alone and may be such, waits for the other. */
static bool take_first(struct http_call *call, const char *data, size_t size)
{
    bool held = call->is_first_held;
    char two[2] = {held ? call->first : data[0], held ? data[0] : size > 1 ? data[1] : '\0'};
    if (!held && size == 1 && http_packing_may_be(data[0], call->says_deflate)) {
        call->first = data[0];
        return call->is_first_held = true;
    }
    enum http_packing packing = http_packing_look(two, call->says_deflate);
    if (packing != HTTP_UNPACKED)
        call->unpacker = http_unpacker_create(packing);
    call->is_first_held = false;
    return (!held || pass_on(call, two, 1)) && pass_on(call, data, size);
}

static size_t on_body(char *data, size_t unit, size_t count, void *arg)
{
    struct http_call *call = arg;
    size_t size = unit * count;
    bool first = !call->has_begun || call->is_first_held;
    if (size == 0)
        return 0;
    call->has_begun = true;
    return (first ? take_first(call, data, size) : pass_on(call, data, size)) ? size : CURL_WRITEFUNC_ERROR;
}

/* name's value, trimmed, into out when the line is that header; a value too long is cut off. */
static bool header_value(const char *line, size_t size, const char *name, char *out, size_t out_size)
{
    size_t name_size = strlen(name);
    if (size <= name_size || line[name_size] != ':' || strncasecmp(line, name, name_size) != 0)
        return false;
    const char *value = line + name_size + 1;
    size_t length = size - name_size - 1;
    while (length > 0 && isspace((unsigned char)*value)) {
        value++;
        length--;
    }
    while (length > 0 && isspace((unsigned char)value[length - 1]))
        length--;
    if (length >= out_size)
        return false;
    memcpy(out, value, length);
    out[length] = '\0';
    return true;
}

static bool is_event_stream(const char *line, size_t size)
{
    static const char type[] = "text/event-stream";
    char value[64];
    return header_value(line, size, "content-type", value, sizeof value) && strncasecmp(value, type, sizeof type - 1) == 0;
}

static size_t on_header(char *line, size_t unit, size_t count, void *arg)
{
    struct http_call *call = arg;
    size_t size = unit * count;
    char first = size > 0 ? (char)(line[0] | 0x20) : '\0';
    if (first == 'r') {
        if (!header_value(line, size, "retry-after-ms", call->retry_after_ms, sizeof call->retry_after_ms))
            header_value(line, size, "retry-after", call->retry_after, sizeof call->retry_after);
    } else if (first == 'l' && call->retry_after_ms[0] == '\0' && call->retry_after[0] == '\0') { /* LiteLLM's proxy: what the provider behind it told */
        if (!header_value(line, size, "llm_provider-retry-after-ms", call->retry_after_ms, sizeof call->retry_after_ms))
            header_value(line, size, "llm_provider-retry-after", call->retry_after, sizeof call->retry_after);
    } else if (first == 'x') {
        char word[8];
        if (header_value(line, size, "x-should-retry", word, sizeof word))
            call->should_retry = strcasecmp(word, "true") == 0 ? 1 : strcasecmp(word, "false") == 0 ? 0 : -1;
    } else if (first == 'c') {
        char packing[16];
        if (call->request->sink != NULL && is_event_stream(line, size))
            call->is_typed_stream = true;
        else if (header_value(line, size, "content-encoding", packing, sizeof packing))
            call->says_deflate = strcasecmp(packing, "deflate") == 0;
    }
    return size;
}

/* ---- seats ---- */

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

static void set_options(struct http_call *call, const struct http_world *world, const struct http_place *target)
{
    CURL *easy = call->easy;
    curl_easy_setopt(easy, CURLOPT_URL, target->url);
    curl_easy_setopt(easy, CURLOPT_CURLU, target->read_url); /* goes before */
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, target->headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "chat-worker/" CHAT_RELEASE);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    /* One call a connection: HTTP/2 would only add its windows and frames. */
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 1L);
    curl_easy_setopt(easy, CURLOPT_SHARE, world->share);
    if (target->trust != NULL)
        tls_trust_use(target->trust, easy);
    /* Both are given always: without them libcurl asks the environment. */
    curl_easy_setopt(easy, CURLOPT_PROXY, target->proxy != NULL ? target->proxy : "");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_S);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_S);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, CONNECTION_IDLE_S_MAX);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER_BYTES);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BUFFER_BYTES);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->problem);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
}

static bool prepare_call(struct http_seat *seat, size_t target)
{
    struct http_call *call = &seat->calls[target];
    if (call->easy == NULL && (call->easy = curl_easy_init()) != NULL)
        set_options(call, seat->world, &seat->world->places[target]);
    return call->easy != NULL;
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
    if (seat->multi == NULL || curl_multi_wakeup(seat->multi) != CURLM_OK || !prepare_call(seat, 0)) {
        http_seat_destroy(seat);
        return NULL;
    }
    curl_multi_setopt(seat->multi, CURLMOPT_MAXCONNECTS, (long)world->count);
    return seat;
}

/* ---- calls ---- */

struct http_call *http_seat_call(struct http_seat *seat, size_t target)
{
    return &seat->calls[target];
}

static const struct http_place *place_of(const struct http_seat *seat, const struct http_call *call)
{
    return &seat->world->places[call - seat->calls];
}

/* libcurl keeps them for as long as the handle, and asks nobody. */
static void use_addresses(struct http_call *call, const struct http_place *place, const char *addresses)
{
    AUTO_FREE char *entry = xasprintf("%s:%s", place->host_port, addresses);
    struct curl_slist *list = curl_slist_append(NULL, entry);
    if (list == NULL)
        abort(); /* memory */
    curl_easy_setopt(call->easy, CURLOPT_RESOLVE, list);
    curl_slist_free_all(call->addresses);
    call->addresses = list;
}

/* True: it can go out. */
static bool is_resolved(struct http_seat *seat, struct http_call *call)
{
    const struct http_place *place = place_of(seat, call);
    struct resolver_answer answer = {.version = call->addresses_version};
    if (place->host == NULL)
        return true;
    if (call->resolve_error != 0 || resolver_ask(place->host, &call->wait, seat->multi, clock_mono_ms(), &answer, &call->resolve_error) != RESOLVER_KNOWN)
        return false;
    AUTO_FREE char *addresses = answer.addresses;
    call->addresses_version = answer.version;
    if (addresses != NULL)
        use_addresses(call, place, addresses);
    return true;
}

/* False: libcurl can't go on. */
static bool send_out(struct http_seat *seat, struct http_call *call)
{
    int64_t left_ms = call->started_ms + place_of(seat, call)->connect_timeout_ms - clock_mono_ms();
    curl_easy_setopt(call->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(left_ms > 0 ? left_ms : 1));
    call->went_out = curl_multi_add_handle(seat->multi, call->easy) == CURLM_OK;
    seat->broken = seat->broken || !call->went_out;
    return call->went_out;
}

enum status http_call_start(struct http_seat *seat, size_t target, const struct http_request *request, struct error *err)
{
    struct http_call *call = &seat->calls[target];
    assert(target < seat->count && call->request == NULL);
    if (!prepare_call(seat, target))
        return error_set(err, ERROR_UNAVAILABLE, "no_resources", "no memory for another call");
    call->request = request;
    call->end = HTTP_RUNNING;
    call->went_out = false;
    call->resolve_error = 0;
    call->body_size = call->body_capacity = 0;
    call->body_too_large = call->body_damaged = call->is_typed_stream = call->says_deflate = false;
    call->shape = HTTP_SHAPE_OPEN;
    call->has_begun = call->is_first_held = false;
    call->blanks = 0;
    call->retry_after_ms[0] = call->retry_after[0] = call->problem[0] = '\0';
    call->should_retry = -1;
    call->started_ms = clock_mono_ms();
    call->progress_ms = call->first_progress_ms = 0;
    if (request->url != NULL) {
        curl_easy_setopt(call->easy, CURLOPT_CURLU, NULL);
        curl_easy_setopt(call->easy, CURLOPT_URL, request->url);
    }
    if (request->body != NULL) {
        curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(request->body));
        /* Not read from a callback: curl must be able to send it again on a fresh connection. */
        curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, request->body);
    } else {
        curl_easy_setopt(call->easy, CURLOPT_HTTPGET, 1L);
    }
    bool resolved = is_resolved(seat, call);
    if (resolved && !send_out(seat, call)) {
        call->request = NULL;
        return error_set(err, ERROR_UNAVAILABLE, "no_resources", "libcurl can't begin a call");
    }
    seat->unresolved += !resolved;
    seat->running++;
    return STATUS_OK;
}

void http_call_progress(struct http_call *call)
{
    call->progress_ms = clock_mono_ms();
    if (call->first_progress_ms == 0)
        call->first_progress_ms = call->progress_ms;
}

bool http_call_was_sent(const struct http_call *call)
{
    curl_off_t sent_us = 0;
    if (call->went_out)
        curl_easy_getinfo(call->easy, CURLINFO_PRETRANSFER_TIME_T, &sent_us);
    return sent_us > 0;
}

bool http_call_was_refused_by_proxy(const struct http_call *call)
{
    long status = 0;
    if (call->went_out)
        curl_easy_getinfo(call->easy, CURLINFO_HTTP_CONNECTCODE, &status);
    return status >= 300 && !http_call_was_sent(call);
}

void http_call_end(struct http_seat *seat, size_t target)
{
    struct http_call *call = &seat->calls[target];
    if (call->request == NULL)
        return;
    if (call->end == HTTP_RUNNING) {
        seat->running--;
        seat->unresolved -= !call->went_out;
    }
    resolver_leave(&call->wait);
    if (call->went_out)
        curl_multi_remove_handle(seat->multi, call->easy);
    call->request = NULL;
    free(steal_ptr(&call->body));
    http_unpacker_destroy(steal_ptr(&call->unpacker));
}

/* ---- waiting ---- */

/* When this call's own patience ends. */
static int64_t limit_of(const struct http_seat *seat, const struct http_call *call)
{
    const struct http_request *request = call->request;
    int64_t limit = request->until_ms;
    int64_t connected = call->started_ms + place_of(seat, call)->connect_timeout_ms;
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
    if (call->is_first_held) /* a body of one byte */
        (void)take(&call->first, 1, call);
    call->end = end;
    call->code = code;
    seat->running--;
    seat->unresolved -= !call->went_out;
}

/* Has its server moved? The next call has the name looked up. */
static void doubt_addresses(const struct http_seat *seat, const struct http_call *call)
{
    const struct http_place *place = place_of(seat, call);
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
        const struct http_place *place = place_of(seat, call);
        if (call->request == NULL || call->end != HTTP_RUNNING || call->went_out)
            continue;
        if (is_resolved(seat, call)) {
            seat->unresolved -= send_out(seat, call);
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
