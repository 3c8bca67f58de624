#include "http/http_connection.h"

#include <errno.h>
#include <sys/socket.h>

#define IDLE_MS_MAX 60000 /* under the idle time-outs of common load balancers */

void http_connection_init(struct http_connection *connection)
{
    *connection = (struct http_connection){.socket = CURL_SOCKET_BAD};
}

bool http_connection_begin(struct http_connection *connection, CURLM *multi)
{
    if (curl_multi_add_handle(multi, connection->easy) != CURLM_OK)
        return false;
    connection->multi = multi;
    connection->is_used = false;
    connection->error = 0;
    return true;
}

/* Makes libcurl count it as in use, as the first bytes over curl_easy_send do. It closes others of the same multi handle when it makes a connection: those
 * that look dead, and those that it calls idle since 118 s. What is read and written directly would be closed in the middle of a call, and another
 * connection could have its descriptor then. */
static bool hold(struct http_connection *connection)
{
    size_t sent;
    CURLcode code = curl_easy_send(connection->easy, "", 0, &sent);
    return code != CURLE_UNSUPPORTED_PROTOCOL; /* it has lost it; other failures are seen when a request is sent */
}

bool http_connection_opened(struct http_connection *connection)
{
    if (connection->is_plain && !hold(connection))
        return false;
    return curl_easy_getinfo(connection->easy, CURLINFO_ACTIVESOCKET, &connection->socket) == CURLE_OK && http_connection_is_open(connection);
}

void http_connection_close(struct http_connection *connection)
{
    if (connection->on_close != NULL)
        connection->on_close(connection->on_close_arg);
    if (connection->multi != NULL) /* libcurl closes a connection of its kind with that */
        curl_multi_remove_handle(connection->multi, connection->easy);
    connection->multi = NULL;
    connection->socket = CURL_SOCKET_BAD;
}

/* Of a direct read or write that returned no bytes. */
static CURLcode code_of(struct http_connection *connection, CURLcode failure)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return CURLE_AGAIN;
    connection->error = errno;
    return failure;
}

CURLcode http_connection_send(struct http_connection *connection, const char *bytes, size_t size, size_t *ret_sent)
{
    *ret_sent = 0;
    connection->is_used = true;
    if (!connection->is_plain)
        return curl_easy_send(connection->easy, bytes, size, ret_sent);
    ssize_t sent = send(connection->socket, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0)
        return code_of(connection, CURLE_SEND_ERROR);
    *ret_sent = (size_t)sent;
    return CURLE_OK;
}

CURLcode http_connection_recv(struct http_connection *connection, char *room, size_t size, size_t *ret_size)
{
    *ret_size = 0;
    if (!connection->is_plain)
        return curl_easy_recv(connection->easy, room, size, ret_size);
    ssize_t got = recv(connection->socket, room, size, MSG_DONTWAIT);
    if (got < 0)
        return code_of(connection, CURLE_RECV_ERROR);
    *ret_size = (size_t)got;
    return CURLE_OK;
}

bool http_connection_is_usable(struct http_connection *connection, int64_t now_ms)
{
    char byte;
    size_t size;
    if (!http_connection_is_open(connection))
        return false;
    /* Closed meanwhile, or with bytes that answer nothing. */
    if (now_ms - connection->idle_since_ms <= IDLE_MS_MAX && http_connection_recv(connection, &byte, 1, &size) == CURLE_AGAIN)
        return true;
    http_connection_close(connection);
    return false;
}
