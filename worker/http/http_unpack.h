/* Bodies that a server packs though nobody asked it to: gzip, and deflate as zlib wraps it, told by their first bytes and not by the
 * header, which some send without the packing and others leave out. A JSON body and an event stream begin with neither. Deflate
 * without its wrapping, as some servers take the word, is told by the header, where the bytes aren't JSON's or a stream's.
 *
 * Between the network and whoever takes the body, in pieces: what one piece unpacks to is handed on as it comes and counts where
 * the body counts, so that a bomb ends at the same limit, early. What is packed twice isn't unpacked twice. Thread: the call's. */
#ifndef CHAT_HTTP_HTTP_UNPACK_H
#define CHAT_HTTP_HTTP_UNPACK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct http_unpacker;

enum http_packing { HTTP_UNPACKED, HTTP_WRAPPED /* gzip or zlib */, HTTP_BARE /* deflate alone */ };

/* How a body is packed that begins with these two bytes. says_deflate: so does its header. */
enum http_packing http_packing_look(const char bytes[2], bool says_deflate);
/* May it be packed, by its first byte alone? */
bool http_packing_may_be(char first, bool says_deflate);

struct http_unpacker *http_unpacker_create(enum http_packing packing); /* not UNPACKED */
void http_unpacker_destroy(struct http_unpacker *unpacker); /* NULL is fine */

/* false: no more is wanted. */
typedef bool http_unpacked(const char *bytes, size_t size, void *arg);

/* Unpacks the next piece. CLOSED: no more was wanted; FAILED: it is damaged. What comes behind the end is dropped, but for another
 * member, which gzip allows. */
enum status http_unpack(struct http_unpacker *unpacker, const char *bytes, size_t size, http_unpacked *take, void *arg) MUST_CHECK;

#endif
