#include "http/http_exchange.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

void http_exchange_begin(struct http_exchange *exchange, char *head, const char *body, size_t body_size, bool on_kept)
{
    *exchange = (struct http_exchange){.head = head, .head_size = head != NULL ? strlen(head) : 0, .body = body, .body_size = body_size, .on_kept = on_kept};
}

void http_exchange_repeat(struct http_exchange *exchange)
{
    http_exchange_begin(exchange, steal_ptr(&exchange->head), exchange->body, exchange->body_size, false);
}

void http_exchange_finish(struct http_exchange *exchange)
{
    free(steal_ptr(&exchange->head));
    http_response_finish(&exchange->response);
}

/* ---- sending ---- */

bool http_exchange_has_unsent(const struct http_exchange *exchange)
{
    return !exchange->stops_sending && exchange->sent < exchange->head_size + exchange->body_size;
}

size_t http_exchange_to_join(const struct http_exchange *exchange)
{
    return exchange->sent < exchange->head_size && exchange->body_size > 0 ? exchange->head_size - exchange->sent + exchange->body_size : 0;
}

size_t http_exchange_piece(const struct http_exchange *exchange, char *room, size_t room_size, const char **ret)
{
    size_t of_body = exchange->sent > exchange->head_size ? exchange->sent - exchange->head_size : 0;
    if (!http_exchange_has_unsent(exchange))
        return 0;
    *ret = exchange->sent < exchange->head_size ? exchange->head + exchange->sent : exchange->body + of_body;
    size_t left = exchange->sent < exchange->head_size ? exchange->head_size - exchange->sent : exchange->body_size - of_body;
    if (exchange->sent >= exchange->head_size || left >= room_size || exchange->body_size == 0)
        return left;
    memcpy(room, *ret, left);
    size_t more = room_size - left < exchange->body_size ? room_size - left : exchange->body_size;
    memcpy(room + left, exchange->body, more);
    *ret = room;
    return left + more;
}

void http_exchange_sent(struct http_exchange *exchange, size_t size)
{
    exchange->sent += size;
}

/* ---- what arrives ---- */

static enum http_exchange_state failed(struct http_exchange *exchange, CURLcode code, const char *problem)
{
    exchange->code = code;
    exchange->problem = problem;
    return HTTP_EXCHANGE_FAILED;
}

enum http_exchange_state http_exchange_arrived(struct http_exchange *exchange, const char *bytes, size_t size, const struct http_receiver *receiver)
{
    exchange->heard = true;
    enum http_reading reading = http_response_take(&exchange->response, bytes, size, receiver);
    /* RFC 9112, 7.5: a server that has refused a request needn't read the rest of it. */
    exchange->stops_sending = exchange->stops_sending || (exchange->response.status >= 400 && http_exchange_has_unsent(exchange));
    switch (reading) {
    case HTTP_READING: return HTTP_EXCHANGE_UNDER_WAY;
    case HTTP_WHOLE: return HTTP_EXCHANGE_DONE;
    case HTTP_REFUSED: return failed(exchange, CURLE_WRITE_ERROR, NULL);
    case HTTP_NOT_HTTP: return failed(exchange, CURLE_UNSUPPORTED_PROTOCOL, "the answer isn't HTTP/1");
    case HTTP_MALFORMED: break;
    }
    return failed(exchange, CURLE_WEIRD_SERVER_REPLY, exchange->response.problem);
}

enum http_exchange_state http_exchange_closed(struct http_exchange *exchange, CURLcode why)
{
    if (!exchange->heard && exchange->on_kept)
        return HTTP_EXCHANGE_AGAIN;
    if (why != CURLE_OK)
        return failed(exchange, why, NULL);
    if (http_response_is_ended_by_close(&exchange->response))
        return HTTP_EXCHANGE_DONE;
    return exchange->heard ? failed(exchange, CURLE_PARTIAL_FILE, "the connection was closed within the answer")
                           : failed(exchange, CURLE_GOT_NOTHING, "the connection was closed without an answer");
}

bool http_exchange_keeps_connection(const struct http_exchange *exchange)
{
    return exchange->response.keeps_connection && !exchange->stops_sending && !http_exchange_has_unsent(exchange);
}
