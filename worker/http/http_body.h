/* What arrives of a response's body: unpacked where it is packed (http_unpack.h), kept whole within the call's bounds, or passed to the request's sink
 * as soon as its first bytes say that it is a stream. Of an error its beginning is kept. libcurl calls it on the thread of http_client_wait; it blocks
 * never. What is kept is the call's, until http_call_end. */
#ifndef CHAT_HTTP_HTTP_BODY_H
#define CHAT_HTTP_HTTP_BODY_H

#include <stddef.h>

#include "http/http_call.h"

/* A CURLOPT_WRITEFUNCTION; arg is the call. CURL_WRITEFUNC_ERROR: it is too large, damaged, or its sink wants no more; the call says which. */
size_t http_body_arrived(char *data, size_t unit, size_t count, void *arg);
/* The call has ended, however: takes what was held back until the next byte would say what it is. */
void http_body_over(struct http_call *call);

#endif
