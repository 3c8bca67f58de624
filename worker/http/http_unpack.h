/* Bodies that a server packs though nobody asked it to: gzip, and deflate as zlib wraps it, told by their first bytes and not by the
 * header, which some send without the packing and others leave out. A JSON body and an event stream begin with neither.
 *
 * Between the network and whoever takes the body, in pieces: what one piece unpacks to is handed on as it comes and counts where
 * the body counts, so that a bomb ends at the same limit, early. Deflate without a wrapping can't be told from a text, and isn't
 * unpacked; nor is what is packed twice. Thread: the call's. */
#ifndef CHAT_HTTP_HTTP_UNPACK_H
#define CHAT_HTTP_HTTP_UNPACK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct http_unpacker;

/* Do these bytes, a body's first, begin a packed one? At least two are needed to say so; may the first of them? */
bool http_unpack_is_due(const char *bytes, size_t size);
bool http_unpack_may_be_due(char first);

struct http_unpacker *http_unpacker_create(void);
void http_unpacker_destroy(struct http_unpacker *unpacker); /* NULL is fine */

/* false: no more is wanted. */
typedef bool http_unpacked(const char *bytes, size_t size, void *arg);

/* Unpacks the next piece. CLOSED: no more was wanted; FAILED: it is damaged. What comes behind the end is dropped, but for another
 * member, which gzip allows. */
enum status http_unpack(struct http_unpacker *unpacker, const char *bytes, size_t size, http_unpacked *take, void *arg) MUST_CHECK;

#endif
