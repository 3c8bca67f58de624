#include "http/http_call.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "http/http_body.h"
#include "http/http_client.h"
#include "http/http_header.h"
#include "http/http_unpack.h"
#include "tls/tls_trust.h"

#define CONNECTION_IDLE_S_MAX 60L /* under the idle time-outs of common load balancers */
#define RECEIVE_BUFFER_BYTES 4096L
#define UPLOAD_BUFFER_BYTES 16384L  /* curl's minimum; used for bodies over 64 KiB and by TLS */
#define KEEPALIVE_S 60L             /* a NAT drops a silent connection; answers may take minutes */

int http_call_status(const struct http_call *call)
{
    long status = 0;
    if (call->went_out) /* else the handle still has the previous call's results */
        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

/* ---- its handle ---- */

static void set_options(struct http_call *call, const struct http_world *world, const struct http_place *target)
{
    CURL *easy = call->easy;
    curl_easy_setopt(easy, CURLOPT_URL, target->url);
    curl_easy_setopt(easy, CURLOPT_CURLU, target->read_url); /* takes precedence over the URL */
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, target->headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "chat-worker/" CHAT_RELEASE);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    /* One call at a time on a connection: HTTP/2 would only add its windows and frames. */
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
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, CONNECTION_IDLE_S_MAX);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER_BYTES);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BUFFER_BYTES);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->problem);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, http_body_arrived);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, http_header_arrived);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
}

bool http_call_prepare(struct http_client *client, size_t target)
{
    struct http_call *call = &client->calls[target];
    if (call->easy == NULL && (call->easy = curl_easy_init()) != NULL)
        set_options(call, client->world, &client->world->places[target]);
    return call->easy != NULL;
}

/* ---- from its start to its end ---- */

const struct http_place *http_call_place(const struct http_client *client, const struct http_call *call)
{
    return &client->world->places[call - client->calls];
}

/* libcurl uses these addresses as long as the handle exists, and makes no look-up itself. */
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

bool http_call_is_resolved(struct http_client *client, struct http_call *call)
{
    const struct http_place *place = http_call_place(client, call);
    struct resolver_answer answer = {.version = call->addresses_version};
    if (place->host == NULL)
        return true;
    if (call->resolve_error != 0 || resolver_ask(place->host, &call->wait, client->multi, clock_mono_ms(), &answer, &call->resolve_error) != RESOLVER_KNOWN)
        return false;
    AUTO_FREE char *addresses = answer.addresses;
    call->addresses_version = answer.version;
    if (addresses != NULL)
        use_addresses(call, place, addresses);
    return true;
}

bool http_call_send_out(struct http_client *client, struct http_call *call)
{
    int64_t left_ms = call->started_ms + http_call_place(client, call)->connect_timeout_ms - clock_mono_ms();
    curl_easy_setopt(call->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(left_ms > 0 ? left_ms : 1));
    call->went_out = curl_multi_add_handle(client->multi, call->easy) == CURLM_OK;
    client->broken = client->broken || !call->went_out;
    return call->went_out;
}

enum status http_call_start(struct http_client *client, size_t target, const struct http_request *request, struct error *err)
{
    struct http_call *call = &client->calls[target];
    assert(target < client->count && call->request == NULL);
    if (!http_call_prepare(client, target))
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
        /* Not by a read callback: curl must be able to send the body again on a new connection. */
        curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, request->body);
    } else {
        curl_easy_setopt(call->easy, CURLOPT_HTTPGET, 1L);
    }
    bool resolved = http_call_is_resolved(client, call);
    if (resolved && !http_call_send_out(client, call)) {
        call->request = NULL;
        return error_set(err, ERROR_UNAVAILABLE, "no_resources", "libcurl can't begin a call");
    }
    client->unresolved += !resolved;
    client->running++;
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

void http_call_end(struct http_client *client, size_t target)
{
    struct http_call *call = &client->calls[target];
    if (call->request == NULL)
        return;
    if (call->end == HTTP_RUNNING) {
        client->running--;
        client->unresolved -= !call->went_out;
    }
    resolver_leave(&call->wait);
    if (call->went_out)
        curl_multi_remove_handle(client->multi, call->easy);
    call->request = NULL;
    free(steal_ptr(&call->body));
    http_unpacker_destroy(steal_ptr(&call->unpacker));
}
