/* A connection to a target's server, which libcurl makes: to its addresses, through a proxy, with TLS (CURLOPT_CONNECT_ONLY). Over it goes one exchange after
 * the other (http_exchange.h). It is one easy handle, which stays in its multi handle as long as the connection exists. Without TLS and proxy the
 * socket is read and written directly: libcurl looks a handle's connection up among all of its multi handle. It must count as in use there (hold).
 *
 * Thread: the client's borrower only. Nothing here blocks. */
#ifndef CHAT_HTTP_HTTP_CONNECTION_H
#define CHAT_HTTP_HTTP_CONNECTION_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_connection {
    CURL *easy; /* owned; NULL: none yet */
    CURLM *multi; /* that easy is in; NULL: no connection, and none is being made */
    curl_socket_t socket; /* of an open connection; else CURL_SOCKET_BAD */
    bool is_plain; /* bytes go over the socket as they are: neither TLS nor a proxy */
    bool is_used; /* it has carried a request */
    int error; /* errno of a socket that failed; 0: none */
    int64_t idle_since_ms; /* clock_mono_ms */
    void (*on_close)(void *arg); /* called before the socket is closed, for who watches it; NULL: nobody */
    void *on_close_arg;
};

/* All set but easy. */
void http_connection_init(struct http_connection *connection);

/* libcurl begins to connect, by easy's options; its message tells the end. False: libcurl can't go on. */
bool http_connection_begin(struct http_connection *connection, CURLM *multi);
/* libcurl's message says that it is connected. False: it has no socket. */
bool http_connection_opened(struct http_connection *connection);
/* Closes it, or stops connecting; does nothing if there is none. */
void http_connection_close(struct http_connection *connection);

static inline bool http_connection_is_open(const struct http_connection *connection)
{
    return connection->socket != CURL_SOCKET_BAD;
}

/* Is it open, and can it carry a request, as far as can be seen here? Closes it if not. now_ms: clock_mono_ms. */
bool http_connection_is_usable(struct http_connection *connection, int64_t now_ms);

/* CURLE_AGAIN: nothing now. RECV with OK and 0 bytes: the server has closed it. */
CURLcode http_connection_send(struct http_connection *connection, const char *bytes, size_t size, size_t *ret_sent);
CURLcode http_connection_recv(struct http_connection *connection, char *room, size_t size, size_t *ret_size);

#endif
