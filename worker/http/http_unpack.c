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
#define ZLIB '\x78' /* deflate with a window of 32 KiB, as everybody has it */
#define DICTIONARY 0x20

bool http_unpack_may_be_due(char first)
{
    return first == GZIP[0] || first == ZLIB;
}

/* zlib's second byte makes the two a multiple of 31, and asks for no dictionary: nobody has one. */
bool http_unpack_is_due(const char *bytes, size_t size)
{
    if (size < 2)
        return false;
    unsigned second = (unsigned char)bytes[1];
    return memcmp(bytes, GZIP, 2) == 0 || (bytes[0] == ZLIB && ((unsigned)ZLIB << 8 | second) % 31 == 0 && (second & DICTIONARY) == 0);
}

struct http_unpacker *http_unpacker_create(void)
{
    struct http_unpacker *unpacker = xcalloc(1, sizeof *unpacker);
    if (inflateInit2(&unpacker->z, MAX_WBITS + EITHER) != Z_OK)
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
    while (z->avail_in > 0 || z->avail_out == 0) { /* a full output may not have been all */
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
            break; /* it wants more */
    }
    return STATUS_OK;
}
