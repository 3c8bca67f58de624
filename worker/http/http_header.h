/* Reads a response's headers: when to try again, the body's type and encoding. All others are ignored.
 * Called by libcurl on the thread of http_client_wait; no I/O, no allocation, never blocks. */
#ifndef CHAT_HTTP_HTTP_HEADER_H
#define CHAT_HTTP_HTTP_HEADER_H

#include <stddef.h>

#include "http/http_call.h"

/* A CURLOPT_HEADERFUNCTION; arg is the call, whose members get the values. Never fails: a value that is too long counts as absent. */
size_t http_header_arrived(char *line, size_t unit, size_t count, void *arg);

#endif
