/* Receives a response's body: decompressed if it is compressed (http_unpack.h), stored within the call's bounds, or passed to the request's sink
 * as soon as its first bytes show that it is a stream. Of an error the beginning is stored. Called by libcurl on the thread of http_client_wait; never
 * blocks. The call owns the stored body, until http_call_end. */
#ifndef CHAT_HTTP_HTTP_BODY_H
#define CHAT_HTTP_HTTP_BODY_H

#include <stddef.h>

#include "http/http_call.h"

/* A CURLOPT_WRITEFUNCTION; arg is the call. CURL_WRITEFUNC_ERROR: the body is too large, damaged, or its sink wants no more; see the call's members. */
size_t http_body_arrived(char *data, size_t unit, size_t count, void *arg);
/* The call has ended, well or not: takes a byte that was held back until the next one would show whether the body is compressed. */
void http_body_over(struct http_call *call);

#endif
