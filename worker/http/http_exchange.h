/* One request and its response on a connection: what is sent next, what arriving bytes come to, what the connection's end means. Pure: no I/O, no
 * clock. The connection's owner drives it (http_client.c): sends the piece it names, and passes on what has arrived.
 *
 * A request on a connection that carried others before is sent once more, on a new one, when it was closed before any byte of a response: the server
 * most likely closed it before it read the request. */
#ifndef CHAT_HTTP_HTTP_EXCHANGE_H
#define CHAT_HTTP_HTTP_EXCHANGE_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>

#include "http/http_response.h"

struct http_exchange {
    char *head; /* owned */
    const char *body; /* the caller's until the exchange has ended; NULL: none */
    size_t head_size, body_size;
    size_t sent; /* of head and body */
    bool on_kept; /* the connection has carried a request before */
    bool heard;   /* a byte of a response has come */
    bool stops_sending; /* refused before all was sent */
    struct http_response response;
    CURLcode code;       /* of an exchange that failed */
    const char *problem; /* why, a constant; NULL: the code says it */
};

enum http_exchange_state {
    HTTP_EXCHANGE_UNDER_WAY,
    HTTP_EXCHANGE_DONE,
    HTTP_EXCHANGE_AGAIN, /* http_exchange_repeat, on a new connection */
    HTTP_EXCHANGE_FAILED /* see code */
};

/* head: owned by the exchange from now on; NULL: nothing can be sent, and it is only finished. */
void http_exchange_begin(struct http_exchange *exchange, char *head, const char *body, size_t body_size, bool on_kept);
/* Of AGAIN. */
void http_exchange_repeat(struct http_exchange *exchange);
void http_exchange_finish(struct http_exchange *exchange); /* all zero is fine */

/* How many bytes http_exchange_piece has room for at best: head and body together; 0: it needs none. */
size_t http_exchange_to_join(const struct http_exchange *exchange);
/* The next bytes to send: head and body together in room, or the body where it stands. 0: none. */
size_t http_exchange_piece(const struct http_exchange *exchange, char *room, size_t room_size, const char **ret);
void http_exchange_sent(struct http_exchange *exchange, size_t size);
bool http_exchange_has_unsent(const struct http_exchange *exchange);

/* size: at least one. */
enum http_exchange_state http_exchange_arrived(struct http_exchange *exchange, const char *bytes, size_t size, const struct http_receiver *receiver);
/* CURLE_OK: the server has closed the connection; else sending or receiving failed so. */
enum http_exchange_state http_exchange_closed(struct http_exchange *exchange, CURLcode why);

/* Of DONE: can the connection carry another request? */
bool http_exchange_keeps_connection(const struct http_exchange *exchange);

#endif
