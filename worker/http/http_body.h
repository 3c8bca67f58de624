/* Receives a response's body: decompressed if it is compressed (http_unpack.h), stored within the call's bounds, or passed to the request's sink
 * as soon as its first bytes show that it is a stream. Of an error the beginning is stored. Runs on the thread of http_client_wait; never
 * blocks. The call owns the stored body, until http_call_end. */
#ifndef CHAT_HTTP_HTTP_BODY_H
#define CHAT_HTTP_HTTP_BODY_H

#include <stddef.h>

#include "http/http_call.h"

/* An http_receiver's; arg is the call. False: the body is too large, damaged, or its sink wants no more; see the call's members. */
bool http_body_arrived(const char *data, size_t size, void *arg);
/* The call has ended, well or not: takes a byte that was held back until the next one would show whether the body is compressed. */
void http_body_over(struct http_call *call);

#endif
