/* Decompresses bodies that a server compresses unrequested: gzip, and deflate in zlib's format, detected by their first bytes and not by the
 * header, which some send without compression and others omit. A JSON body and an event stream begin with neither. Raw deflate,
 * which some servers send as deflate, is detected by the header, if the bytes aren't JSON's or a stream's.
 *
 * Between the network and the receiver of the body, in pieces: decompressed bytes are passed on at once and count against the
 * body's limit, so that a zip bomb ends there, early. A body compressed twice is decompressed once. Thread: the call's. */
#ifndef CHAT_HTTP_HTTP_UNPACK_H
#define CHAT_HTTP_HTTP_UNPACK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct http_unpacker;

enum http_packing { HTTP_UNPACKED, HTTP_WRAPPED /* gzip or zlib */, HTTP_BARE /* raw deflate */ };

/* How a body that begins with these two bytes is compressed. says_deflate: its Content-Encoding is deflate. */
enum http_packing http_packing_look(const char bytes[2], bool says_deflate);
/* May a body with this first byte be compressed? */
bool http_packing_may_be(char first, bool says_deflate);

struct http_unpacker *http_unpacker_create(enum http_packing packing); /* not UNPACKED */
void http_unpacker_destroy(struct http_unpacker *unpacker); /* NULL is fine */

/* false: no more is wanted. */
typedef bool http_unpacked(const char *bytes, size_t size, void *arg);

/* Decompresses the next piece. CLOSED: no more was wanted; FAILED: damaged. Bytes behind the end are dropped, except another gzip
 * member. */
enum status http_unpack(struct http_unpacker *unpacker, const char *bytes, size_t size, http_unpacked *take, void *arg) MUST_CHECK;

#endif
