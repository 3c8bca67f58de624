/* The head of a request: its request line and headers. What is the same in all requests to a target is made once (struct http_place), the
 * rest for each. Pure; any thread.
 *
 * Host, User-Agent, Accept, and Authorization if the URL has a user, unless the target brings a header of that name, which then takes its place;
 * Proxy-Authorization where an http proxy is asked for an http URL, which it reads itself (RFC 9112, 3.2.2: the whole URL in the request line). */
#ifndef CHAT_HTTP_HTTP_HEAD_H
#define CHAT_HTTP_HTTP_HEAD_H

#include <stddef.h>

#include "base/error.h"

/* url: http or https. headers: NULL-terminated "Name: value", NULL: none. proxy: its URL; NULL: none. Returns the lines, each with its CRLF, owned by
 * the caller; NULL: libcurl can't parse url. */
char *http_head_headers(const char *url, const char *const *headers, const char *proxy);

/* The request line's target, owned by the caller: path and query, or the whole URL for an http proxy; NULL: libcurl can't parse url. */
char *http_head_target(const char *url, const char *proxy);

/* The whole head, owned by the caller. body_size: of a POST; method "GET" has none. */
char *http_head(const char *method, const char *target, const char *headers, size_t body_size);

#endif
