/* Reads a response's headers: when to try again, the body's type and encoding. All others are ignored.
 * Runs on the thread of http_client_wait; no I/O, no allocation, never blocks. */
#ifndef CHAT_HTTP_HTTP_HEADER_H
#define CHAT_HTTP_HTTP_HEADER_H

#include <stddef.h>

#include "http/http_call.h"

/* An http_receiver's; arg is the call, whose members get the values. A value that is too long counts as absent. */
void http_header_arrived(const char *line, size_t size, void *arg);

#endif
