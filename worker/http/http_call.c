#include "http/http_call.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "http/http_body.h"
#include "http/http_client.h"
#include "http/http_head.h"
#include "http/http_header.h"
#include "http/http_unpack.h"
#include "tls/tls_trust.h"

#define PIECE_BYTES 16384 /* sent or received at once */
#define SMALL_PIECE_BYTES 2048 /* on the stack: a thread that waits keeps the pages that it has touched there */
#define PIECES_AT_ONCE 8 /* received; then cancels, time-outs and other calls have their turn, of this client and of its loop, however fast a server sends */
#define PROXY_BUFFER_BYTES 4096L /* for a proxy's answer to CONNECT */
#define KEEPALIVE_S 60L /* a NAT drops a silent connection; answers may take minutes */

int http_call_status(const struct http_call *call)
{
    return call->exchange.response.status;
}

/* ---- its connection's handle ---- */

static size_t drop_bytes(char *data, size_t unit, size_t count, void *arg)
{
    (void)data;
    (void)arg;
    return unit * count;
}

static void set_options(struct http_call *call, const struct http_world *world, const struct http_place *target)
{
    CURL *easy = call->connection.easy;
    curl_easy_setopt(easy, CURLOPT_URL, target->front);
    curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L); /* else libcurl looks at each connection of the host */
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "chat-worker/" CHAT_RELEASE); /* for a proxy */
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    /* In TLS only this is offered. */
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 1L);
    curl_easy_setopt(easy, CURLOPT_SHARE, world->share);
    if (target->trust != NULL)
        tls_trust_use(target->trust, easy);
    /* Always set both: without them libcurl uses the environment. */
    curl_easy_setopt(easy, CURLOPT_PROXY, target->proxy != NULL ? target->proxy : "");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_S);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_S);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, PROXY_BUFFER_BYTES);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop_bytes); /* of a proxy's refusal */
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->problem);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    call->connection.is_plain = target->trust == NULL && target->proxy == NULL;
}

bool http_call_prepare(struct http_client *client, size_t target)
{
    struct http_call *call = &client->calls[target];
    if (call->connection.easy == NULL && (call->connection.easy = curl_easy_init()) != NULL)
        set_options(call, client->world, &client->world->places[target]);
    return call->connection.easy != NULL;
}

const struct http_place *http_call_place(const struct http_client *client, const struct http_call *call)
{
    return &client->world->places[call - client->calls];
}

/* ---- connecting ---- */

/* libcurl uses these addresses as long as the handle exists, and makes no look-up itself. */
static void use_addresses(struct http_call *call, const struct http_place *place, const char *addresses)
{
    AUTO_FREE char *entry = xasprintf("%s:%s", place->host_port, addresses);
    struct curl_slist *list = curl_slist_append(NULL, entry);
    if (list == NULL)
        abort(); /* memory */
    curl_easy_setopt(call->connection.easy, CURLOPT_RESOLVE, list);
    curl_slist_free_all(call->addresses);
    call->addresses = list;
}

static bool is_resolved(struct http_client *client, struct http_call *call)
{
    const struct http_place *place = http_call_place(client, call);
    struct resolver_answer answer = {.version = call->addresses_version};
    if (place->host == NULL)
        return true;
    if (call->resolve_error != 0 || resolver_ask(place->host, &call->wait, &client->wake, clock_mono_ms(), &answer, &call->resolve_error) != RESOLVER_KNOWN)
        return false;
    AUTO_FREE char *addresses = answer.addresses;
    call->addresses_version = answer.version;
    if (addresses != NULL)
        use_addresses(call, place, addresses);
    return true;
}

bool http_call_connect(struct http_client *client, struct http_call *call)
{
    if (call->has_bad_url || !is_resolved(client, call))
        return false;
    int64_t left_ms = call->resolving_ms + http_call_place(client, call)->connect_timeout_ms - clock_mono_ms();
    curl_easy_setopt(call->connection.easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(left_ms > 0 ? left_ms : 1));
    if (!http_connection_begin(&call->connection, client->multi)) {
        client->broken = true;
        return false;
    }
    client->unresolved--;
    client->connecting++;
    call->is_made = false;
    call->stage = HTTP_CALL_CONNECTING;
    call->is_resolved = true;
    return true;
}

static void begin_connecting(struct http_client *client, struct http_call *call)
{
    call->stage = HTTP_CALL_RESOLVING;
    call->is_resolved = false;
    call->resolving_ms = clock_mono_ms();
    client->unresolved++;
    (void)http_call_connect(client, call);
}

void http_call_connected(struct http_call *call)
{
    call->stage = HTTP_CALL_EXCHANGING;
    call->is_resolved = call->is_ready = true;
}

/* ---- the exchange ---- */

/* A kept connection was closed before it was used again. */
static void begin_again(struct http_client *client, struct http_call *call)
{
    http_connection_close(&call->connection);
    http_exchange_repeat(&call->exchange);
    call->problem[0] = '\0';
    begin_connecting(client, call);
}

static CURLcode send_pieces(struct http_call *call)
{
    char small[SMALL_PIECE_BYTES];
    AUTO_FREE char *large = http_exchange_to_join(&call->exchange) > sizeof small ? xrealloc(NULL, PIECE_BYTES) : NULL;
    char *room = large != NULL ? large : small;
    const char *piece;
    size_t room_size = large != NULL ? PIECE_BYTES : sizeof small, size, sent;
    CURLcode code = CURLE_OK;
    while (code == CURLE_OK && (size = http_exchange_piece(&call->exchange, room, room_size, &piece)) > 0) {
        code = http_connection_send(&call->connection, piece, size, &sent);
        http_exchange_sent(&call->exchange, sent);
    }
    return code == CURLE_AGAIN ? CURLE_OK : code;
}

/* Takes what has arrived, or as much as one turn may. broken: what sending came to, which counts if nothing more arrives. */
static enum http_exchange_state receive(struct http_call *call, CURLcode broken)
{
    const struct http_receiver receiver = {http_header_arrived, http_body_arrived, call};
    enum http_exchange_state state = HTTP_EXCHANGE_UNDER_WAY;
    char small[SMALL_PIECE_BYTES], *room = small;
    AUTO_FREE char *large = NULL;
    size_t room_size = sizeof small, size = 0;
    for (int pieces = 0; state == HTTP_EXCHANGE_UNDER_WAY; pieces++) {
        if (pieces == PIECES_AT_ONCE) {
            call->is_ready = true; /* what TLS holds back no poll shows */
            break;
        }
        if (large == NULL && size == sizeof small) {
            room = large = xrealloc(NULL, PIECE_BYTES);
            room_size = PIECE_BYTES;
        }
        CURLcode code = http_connection_recv(&call->connection, room, room_size, &size);
        if (code == CURLE_OK && size > 0)
            state = http_exchange_arrived(&call->exchange, room, size, &receiver);
        else if (code != CURLE_AGAIN)
            state = http_exchange_closed(&call->exchange, broken != CURLE_OK ? broken : code);
        else if (broken != CURLE_OK)
            state = http_exchange_closed(&call->exchange, broken);
        else
            break;
    }
    return state;
}

bool http_call_turn(struct http_client *client, struct http_call *call, CURLcode *ret_code)
{
    bool first = call->exchange.sent == 0; /* nothing can have arrived yet */
    call->is_ready = false;
    CURLcode broken = send_pieces(call);
    enum http_exchange_state state = first && broken == CURLE_OK ? HTTP_EXCHANGE_UNDER_WAY : receive(call, broken);
    if (state == HTTP_EXCHANGE_AGAIN)
        begin_again(client, call);
    if (state == HTTP_EXCHANGE_FAILED && call->exchange.problem != NULL)
        snprintf(call->problem, sizeof call->problem, "%s", call->exchange.problem);
    else if (state == HTTP_EXCHANGE_FAILED && call->connection.error != 0)
        snprintf(call->problem, sizeof call->problem, "%s", strerror(call->connection.error));
    *ret_code = state == HTTP_EXCHANGE_FAILED ? call->exchange.code : CURLE_OK;
    return state == HTTP_EXCHANGE_DONE || state == HTTP_EXCHANGE_FAILED;
}

/* ---- from its start to its end ---- */

static char *head_of(const struct http_place *place, const struct http_request *request)
{
    AUTO_FREE char *own = request->url != NULL ? http_head_target(request->url, place->proxy) : NULL;
    const char *target = request->url != NULL ? own : place->request_target;
    if (target == NULL)
        return NULL;
    return http_head(request->body != NULL ? "POST" : "GET", target, place->headers, request->body != NULL ? strlen(request->body) : 0);
}

static void begin(struct http_client *client, struct http_call *call)
{
    const struct http_request *request = call->request;
    char *head = head_of(http_call_place(client, call), request);
    bool kept = http_connection_is_usable(&call->connection, call->started_ms);
    call->has_bad_url = head == NULL;
    call->problem[0] = '\0'; /* of a connection that wasn't usable any more */
    http_exchange_begin(&call->exchange, head, request->body, request->body != NULL ? strlen(request->body) : 0, kept);
    if (kept && !call->has_bad_url)
        http_call_connected(call);
    else
        begin_connecting(client, call);
}

enum status http_call_start(struct http_client *client, size_t target, const struct http_request *request, struct error *err)
{
    struct http_call *call = &client->calls[target];
    assert(target < client->count && call->request == NULL);
    if (!http_call_prepare(client, target))
        return error_set(err, ERROR_UNAVAILABLE, "no_resources", "no memory for another call");
    call->request = request;
    call->end = HTTP_RUNNING;
    call->resolve_error = 0;
    call->body_size = call->body_capacity = 0;
    call->body_too_large = call->body_damaged = call->is_typed_stream = call->says_deflate = false;
    call->shape = HTTP_SHAPE_OPEN;
    call->has_begun = call->is_first_held = false;
    call->blanks = 0;
    call->retry_after_ms[0] = call->retry_after[0] = '\0';
    call->should_retry = -1;
    call->started_ms = clock_mono_ms();
    call->progress_ms = call->first_progress_ms = 0;
    begin(client, call);
    if (!client->broken)
        return STATUS_OK;
    http_call_end(client, target);
    return error_set(err, ERROR_UNAVAILABLE, "no_resources", "libcurl can't begin a call");
}

void http_call_progress(struct http_call *call)
{
    call->progress_ms = clock_mono_ms();
    if (call->first_progress_ms == 0)
        call->first_progress_ms = call->progress_ms;
}

bool http_call_was_sent(const struct http_call *call)
{
    return call->exchange.sent > 0;
}

bool http_call_was_refused_by_proxy(const struct http_call *call)
{
    long status = 0;
    if (call->is_resolved && !http_call_was_sent(call)) /* else it is the call's before */
        curl_easy_getinfo(call->connection.easy, CURLINFO_HTTP_CONNECTCODE, &status);
    return status >= 300;
}

void http_call_over(struct http_client *client, struct http_call *call, enum http_end end, CURLcode code)
{
    client->unresolved -= call->stage == HTTP_CALL_RESOLVING;
    client->connecting -= call->stage == HTTP_CALL_CONNECTING;
    if (call->stage == HTTP_CALL_EXCHANGING && end == HTTP_DONE && code == CURLE_OK && http_exchange_keeps_connection(&call->exchange))
        call->connection.idle_since_ms = clock_mono_ms();
    else
        http_connection_close(&call->connection);
    call->stage = HTTP_CALL_OVER;
    call->end = end;
    call->code = code;
}

void http_call_end(struct http_client *client, size_t target)
{
    struct http_call *call = &client->calls[target];
    if (call->request == NULL)
        return;
    if (call->end == HTTP_RUNNING)
        http_call_over(client, call, HTTP_RUNNING, CURLE_OK);
    resolver_leave(&call->wait);
    http_exchange_finish(&call->exchange);
    call->request = NULL;
    free(steal_ptr(&call->body));
    http_unpacker_destroy(steal_ptr(&call->unpacker));
}
