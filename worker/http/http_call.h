/* One call over HTTP, from its start to its end, and its response. A client (http_client.h) has one to each target at most, and waits for them.
 * A call whose host is being looked up goes out when the address is there.
 *
 * Thread: the client's borrower alone. Nothing here blocks: http_client_wait does. Makes no retry, and judges no status. */
#ifndef CHAT_HTTP_HTTP_CALL_H
#define CHAT_HTTP_HTTP_CALL_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "http/resolver.h"

struct http_client;
struct http_call;
struct http_place;
struct http_unpacker;

/* What the body of a 2xx is. */
enum http_shape {
    HTTP_SHAPE_OPEN, /* its first bytes don't say yet; in the end it is kept whole, too */
    HTTP_SHAPE_WHOLE,
    HTTP_SHAPE_STREAM
};

/* Tells it, of its bytes so far without the white space in front (one at least); asked with more as long as it says OPEN. typed: the
 * content type is text/event-stream. */
typedef enum http_shape http_look(bool typed, const char *bytes, size_t size);

/* Takes what arrives of a stream, in pieces of any size; false: end the call (code is CURLE_WRITE_ERROR). Runs on
 * the thread of http_client_wait. What counts as progress is for it to say: http_call_progress. */
typedef bool http_sink(struct http_call *call, const char *data, size_t size, void *arg);

struct http_request {
    const char *url;  /* NULL: the target's; it has the same host */
    const char *body; /* POSTed, the caller's until the call has ended; NULL: GET */
    int64_t until_ms; /* clock_mono_ms by which it must have ended */
    int64_t first_ms, idle_ms; /* with a sink: until the first progress, and between two; 0: unbounded */
    http_sink *sink;  /* NULL: the body is kept whole, whatever it is */
    http_look *look;  /* with a sink */
    void *sink_arg;
};

enum http_end {
    HTTP_RUNNING,
    HTTP_DONE,     /* code says how */
    HTTP_TIMED_OUT /* by until_ms, first_ms or idle_ms */
};

/* One call, and in the end its response; valid from http_call_start to http_call_end. */
struct http_call {
    CURL *easy;
    const struct http_request *request; /* NULL: none is under way */
    enum http_end end;
    CURLcode code;
    bool went_out; /* it is libcurl's; before that it waits for its host's address */
    struct resolver_wait wait;
    int resolve_error; /* 0: none */
    uint64_t addresses_version; /* of those that the handle has */
    struct curl_slist *addresses;
    int64_t started_ms; /* clock_mono_ms */
    int64_t progress_ms; /* the last progress; 0: none yet */
    int64_t first_progress_ms;
    char *body; /* NULL until data arrives: thousands of calls wait without it */
    size_t body_size;
    size_t body_capacity;
    size_t body_bytes_max;
    bool body_too_large;
    bool body_damaged; /* it is packed (http_unpack.h), and can't be unpacked */
    bool is_typed_stream, says_deflate; /* so say its headers */
    enum http_shape shape;
    struct http_unpacker *unpacker; /* owned; NULL: it isn't packed, as far as is known */
    size_t blanks; /* white space before a body that may be a stream: it isn't kept, but counts */
    bool has_begun;     /* the body */
    bool is_first_held; /* its first byte has come alone */
    char first;
    char retry_after_ms[32]; /* header values; empty: absent */
    char retry_after[48];
    int should_retry;              /* 0, 1; -1: the header is absent */
    char problem[CURL_ERROR_SIZE]; /* curl's words; empty: none */
};

/* Begins; nothing is sent before http_client_wait. request stays the caller's, until http_call_end. FAILED: unavailable `no_resources`. */
enum status http_call_start(struct http_client *client, size_t target, const struct http_request *request, struct error *err) MUST_CHECK;

/* The response's status; 0: none came. */
int http_call_status(const struct http_call *call);
/* Was any of the request sent? Without, the server had no chance. */
bool http_call_was_sent(const struct http_call *call);
/* Did a proxy refuse to make the connection (407, 403, 502 ...)? */
bool http_call_was_refused_by_proxy(const struct http_call *call);
/* What the sink took counts: the idle time begins anew. */
void http_call_progress(struct http_call *call);
/* Frees the response. In the middle of a call it closes the connection: the server stops its work. Nothing if none was started. */
void http_call_end(struct http_client *client, size_t target);

/* ---- http_client's ---- */

/* Makes the call's handle, where it has none yet. False: no memory. */
bool http_call_prepare(struct http_client *client, size_t target);
/* Where it goes. */
const struct http_place *http_call_place(const struct http_client *client, const struct http_call *call);
/* True: its host's address is known, so that it can go out. False: it isn't yet, or never will be (resolve_error). */
bool http_call_is_resolved(struct http_client *client, struct http_call *call);
/* Hands it to libcurl. False: libcurl can't go on. */
bool http_call_send_out(struct http_client *client, struct http_call *call);

#endif
