/* One HTTP call, from its start to its end, and its response. A client (http_client.h) has at most one to each target, and waits for them.
 * A call whose host is being looked up is sent when the address is known.
 *
 * Thread: the client's borrower only. No function here blocks: http_client_wait does. Makes no retry, and judges no status. */
#ifndef CHAT_HTTP_HTTP_CALL_H
#define CHAT_HTTP_HTTP_CALL_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "http/http_connection.h"
#include "http/http_exchange.h"
#include "http/resolver.h"

struct http_client;
struct http_call;
struct http_place;
struct http_unpacker;

/* The kind of a 2xx body. */
enum http_shape {
    HTTP_SHAPE_OPEN, /* not known from its first bytes yet; at the end it is treated as whole */
    HTTP_SHAPE_WHOLE,
    HTTP_SHAPE_STREAM
};

/* Returns it for the bytes so far (at least one), without leading white space; called again with more bytes as long as it returns OPEN. typed: the
 * content type is text/event-stream. */
typedef enum http_shape http_look(bool typed, const char *bytes, size_t size);

/* Receives a stream, in pieces of any size; false: end the call (code is CURLE_WRITE_ERROR). Runs on
 * the thread of http_client_wait. It calls http_call_progress for what counts as progress. */
typedef bool http_sink(struct http_call *call, const char *data, size_t size, void *arg);

struct http_request {
    const char *url;  /* NULL: the target's; it has the same host */
    const char *body; /* POSTed, valid until the call has ended; NULL: GET */
    int64_t until_ms; /* clock_mono_ms by which it must have ended */
    int64_t first_ms, idle_ms; /* with a sink: until the first progress, and between two; 0: unbounded */
    http_sink *sink;  /* NULL: the body is stored whole in any case */
    http_look *look;  /* with a sink */
    void *sink_arg;
};

enum http_end {
    HTTP_RUNNING,
    HTTP_DONE,     /* see code */
    HTTP_TIMED_OUT /* by until_ms, first_ms or idle_ms */
};

enum http_call_stage {
    HTTP_CALL_RESOLVING, /* it waits for its host's address, or its URL is bad */
    HTTP_CALL_CONNECTING,
    HTTP_CALL_EXCHANGING,
    HTTP_CALL_OVER
};

/* One call, and at its end the response; valid from http_call_start to http_call_end. The connection outlives it. */
struct http_call {
    struct http_client *client;
    struct http_connection connection;
    struct http_exchange exchange;
    const struct http_request *request; /* NULL: none is under way */
    enum http_end end;
    CURLcode code;
    enum http_call_stage stage;
    bool is_resolved; /* its host's address is known, or it has a connection */
    bool is_made;     /* CONNECTING: libcurl has told the result, made */
    CURLcode made;
    bool is_ready;    /* EXCHANGING: there is something to send or to receive */
    bool has_bad_url;
    struct resolver_wait wait;
    int resolve_error; /* 0: none */
    uint64_t addresses_version; /* of the connection's addresses */
    struct curl_slist *addresses;
    int64_t started_ms, resolving_ms; /* clock_mono_ms */
    int64_t progress_ms; /* the last progress; 0: none yet */
    int64_t first_progress_ms;
    char *body; /* NULL until data arrives, since thousands of calls may wait */
    size_t body_size;
    size_t body_capacity;
    size_t body_bytes_max;
    bool body_too_large;
    bool body_damaged; /* compressed (http_unpack.h), and can't be decompressed */
    bool is_typed_stream, says_deflate; /* from the headers */
    enum http_shape shape;
    struct http_unpacker *unpacker; /* owned; NULL: not compressed, as far as is known */
    size_t blanks; /* white space before a body that may be a stream: not stored, but counted */
    bool has_begun;     /* the body */
    bool is_first_held; /* its first byte came alone, and is held back */
    char first;
    char retry_after_ms[32]; /* header values; empty: absent */
    char retry_after[48];
    int should_retry;              /* 0, 1; -1: the header is absent */
    char problem[CURL_ERROR_SIZE]; /* an error's text, mostly libcurl's; empty: none */
};

/* Begins a call; nothing is sent before http_client_wait. request must be valid until http_call_end. FAILED: unavailable `no_resources`. */
enum status http_call_start(struct http_client *client, size_t target, const struct http_request *request, struct error *err) MUST_CHECK;

/* The response's status; 0: none came. */
int http_call_status(const struct http_call *call);
/* Was any part of the request sent? If not, the server never got it. */
bool http_call_was_sent(const struct http_call *call);
/* Did a proxy refuse the CONNECT (407, 403, 502 ...)? */
bool http_call_was_refused_by_proxy(const struct http_call *call);
/* Called by a sink on progress: the idle time starts again. */
void http_call_progress(struct http_call *call);
/* Frees the response. During the call it closes the connection, so that the server stops its work. Does nothing if no call was started. */
void http_call_end(struct http_client *client, size_t target);

/* ---- http_client's ---- */

/* Makes the handle of the call's connection, if it has none yet. False: no memory. */
bool http_call_prepare(struct http_client *client, size_t target);
/* Where the call is sent. */
const struct http_place *http_call_place(const struct http_client *client, const struct http_call *call);
/* RESOLVING: connects as soon as the host's address is known. False: not yet, or never (resolve_error), or libcurl can't go on (client->broken). */
bool http_call_connect(struct http_client *client, struct http_call *call);
/* The connection is made. */
void http_call_connected(struct http_call *call);
/* EXCHANGING and ready: sends and receives what can be without waiting, but no more than a turn's share, and stays ready then. True: the exchange has ended, *ret_code says how. */
bool http_call_turn(struct http_client *client, struct http_call *call, CURLcode *ret_code);
/* Its end: the connection is kept if it can be. */
void http_call_over(struct http_client *client, struct http_call *call, enum http_end end, CURLcode code);

#endif
