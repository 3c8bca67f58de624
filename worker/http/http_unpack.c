#include "http/http_unpack.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/alloc.h"

#define EITHER 32 /* zlib's windowBits: a gzip or a zlib header, whichever is there */
#define OUT_BYTES 16384

struct http_unpacker {
    z_stream z;
    bool ended; /* a member; the next byte may begin another */
    unsigned char out[OUT_BYTES];
};

#define GZIP "\x1f\x8b"
#define ZLIB '\x78' /* deflate with a window of 32 KiB, the usual one */
#define DICTIONARY 0x20

/* zlib's second byte makes the two a multiple of 31, without the dictionary bit, which isn't used. */
static bool is_wrapped(const char bytes[2])
{
    unsigned second = (unsigned char)bytes[1];
    return memcmp(bytes, GZIP, 2) == 0 || (bytes[0] == ZLIB && ((unsigned)ZLIB << 8 | second) % 31 == 0 && (second & DICTIONARY) == 0);
}

/* White space, JSON, a byte order mark, a page, or a field of an event stream: the header is wrong, the body isn't compressed. */
static bool begins_text(const char bytes[2])
{
    static const char fields[][3] = {"da", "ev", "id", "re", "er"};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (memcmp(bytes, fields[i], 2) == 0)
            return true;
    return strchr(" \t\r\n{[:<\xef", bytes[0]) != NULL; /* and a NUL */
}

enum http_packing http_packing_look(const char bytes[2], bool says_deflate)
{
    if (is_wrapped(bytes))
        return HTTP_WRAPPED;
    return says_deflate && !begins_text(bytes) ? HTTP_BARE : HTTP_UNPACKED;
}

bool http_packing_may_be(char first, bool says_deflate)
{
    return first == GZIP[0] || first == ZLIB || says_deflate;
}

struct http_unpacker *http_unpacker_create(enum http_packing packing)
{
    struct http_unpacker *unpacker = xcalloc(1, sizeof *unpacker);
    if (inflateInit2(&unpacker->z, packing == HTTP_BARE ? -MAX_WBITS : MAX_WBITS + EITHER) != Z_OK)
        abort(); /* memory */
    return unpacker;
}

void http_unpacker_destroy(struct http_unpacker *unpacker)
{
    if (unpacker != NULL)
        inflateEnd(&unpacker->z);
    free(unpacker);
}

enum status http_unpack(struct http_unpacker *unpacker, const char *bytes, size_t size, http_unpacked *take, void *arg)
{
    z_stream *z = &unpacker->z;
    int result = Z_OK;
    z->next_in = (z_const Bytef *)(uintptr_t)bytes;
    z->avail_in = (uInt)size;
    while (z->avail_in > 0 || z->avail_out == 0) { /* if the output is full there may be more */
        if (unpacker->ended) {
            if (z->avail_in == 0 || z->next_in[0] != 0x1f || inflateReset(z) != Z_OK)
                break;
            unpacker->ended = false;
        }
        z->next_out = unpacker->out;
        z->avail_out = OUT_BYTES;
        result = inflate(z, Z_NO_FLUSH);
        if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
            return STATUS_FAILED;
        if (z->avail_out < OUT_BYTES && !take((const char *)unpacker->out, OUT_BYTES - z->avail_out, arg))
            return STATUS_CLOSED;
        unpacker->ended = result == Z_STREAM_END;
        if (result == Z_BUF_ERROR && z->avail_out == OUT_BYTES)
            break; /* it needs more input */
    }
    return STATUS_OK;
}
