#include "http/http_connection.h"

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
    return true;
}

bool http_connection_opened(struct http_connection *connection)
{
    return curl_easy_getinfo(connection->easy, CURLINFO_ACTIVESOCKET, &connection->socket) == CURLE_OK && http_connection_is_open(connection);
}

void http_connection_close(struct http_connection *connection)
{
    if (connection->multi != NULL) /* libcurl closes a connection of its kind with that */
        curl_multi_remove_handle(connection->multi, connection->easy);
    connection->multi = NULL;
    connection->socket = CURL_SOCKET_BAD;
}

CURLcode http_connection_send(struct http_connection *connection, const char *bytes, size_t size, size_t *ret_sent)
{
    *ret_sent = 0;
    connection->is_used = true;
    return curl_easy_send(connection->easy, bytes, size, ret_sent);
}

CURLcode http_connection_recv(struct http_connection *connection, char *room, size_t size, size_t *ret_size)
{
    *ret_size = 0;
    return curl_easy_recv(connection->easy, room, size, ret_size);
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
