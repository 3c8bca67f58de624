/* What the worker reads of a response's headers: when to try again, what the body is and how it is packed. All others are passed over.
 * libcurl calls it on the thread of http_client_wait; no I/O, no allocation, blocks never. */
#ifndef CHAT_HTTP_HTTP_HEADER_H
#define CHAT_HTTP_HTTP_HEADER_H

#include <stddef.h>

#include "http/http_call.h"

/* A CURLOPT_HEADERFUNCTION; arg is the call, whose members get the values. Never fails: a value that is too long counts as absent. */
size_t http_header_arrived(char *line, size_t unit, size_t count, void *arg);

#endif
