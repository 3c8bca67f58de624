#include "http/http_body.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "http/http_unpack.h"

#define ERROR_BODY_BYTES_MAX 262144U /* enough to classify an error, even one that quotes the request; the rest isn't worth waiting for */

static bool is_good(const struct http_call *call)
{
    int status = http_call_status(call);
    return status >= 200 && status <= 299;
}

static size_t bytes_max_of(const struct http_call *call)
{
    return !is_good(call) && call->body_bytes_max > ERROR_BODY_BYTES_MAX ? ERROR_BODY_BYTES_MAX : call->body_bytes_max;
}

/* Makes room for more bytes; false: that would exceed the limit. */
static bool body_reserve(struct http_call *call, size_t more)
{
    size_t bytes_max = bytes_max_of(call);
    if (more > bytes_max || call->body_size > bytes_max - more)
        return false;
    size_t needed = call->body_size + more;
    if (call->body == NULL) {
        const struct http_response *response = &call->exchange.response;
        uint64_t length = response->has_length && !response->is_chunked ? response->length : 0;
        if (length > bytes_max && is_good(call))
            return false;
        if (length > bytes_max)
            length = bytes_max;
        if (length > needed)
            needed = (size_t)length; /* Content-Length: one allocation for the whole */
    }
    call->body = xgrow(call->body, &call->body_capacity, needed, 1);
    return true;
}

/* Stores bytes within the call's bound; of an error's body the beginning is enough. False: the body is too large. */
static bool keep(struct http_call *call, const char *data, size_t size)
{
    size_t room = bytes_max_of(call) - call->body_size;
    size_t kept = size > room && !is_good(call) ? room : size;
    call->body_too_large = kept < size || !body_reserve(call, kept);
    if (call->body_too_large && kept == size)
        return false;
    if (kept > 0 && body_reserve(call, kept)) {
        memcpy(call->body + call->body_size, data, kept);
        call->body_size += kept;
    }
    return !call->body_too_large;
}

/* The body is a stream: bytes stored before that was known are passed to the sink first. */
static bool begin_stream(struct http_call *call)
{
    AUTO_FREE char *kept = steal_ptr(&call->body);
    size_t size = call->body_size;
    call->body_size = call->body_capacity = 0;
    return call->request->sink(call, kept, size, call->request->sink_arg);
}

/* Takes bytes of a 2xx body that may be a stream. */
static bool take_good(struct http_call *call, const char *data, size_t size)
{
    if (call->shape == HTTP_SHAPE_STREAM)
        return call->request->sink(call, data, size, call->request->sink_arg);
    for (; call->body_size == 0 && size > 0 && isspace((unsigned char)*data); size--) {
        data++;
        call->blanks++;
    }
    call->body_too_large = call->blanks > call->body_bytes_max;
    if (call->body_too_large || !keep(call, data, size))
        return false;
    if (call->shape == HTTP_SHAPE_OPEN && call->body_size > 0)
        call->shape = call->request->look(call->is_typed_stream, call->body, call->body_size);
    return call->shape != HTTP_SHAPE_STREAM || begin_stream(call);
}

/* Takes bytes of the body, decompressed. */
static bool take(const char *data, size_t size, void *arg)
{
    struct http_call *call = arg;
    return call->request->sink != NULL && is_good(call) ? take_good(call, data, size) : keep(call, data, size);
}

static bool unpack(struct http_call *call, const char *data, size_t size)
{
    enum status status = http_unpack(call->unpacker, data, size, take, call);
    call->body_damaged = status == STATUS_FAILED;
    return status == STATUS_OK;
}

static bool pass_on(struct http_call *call, const char *data, size_t size)
{
    return call->unpacker != NULL ? unpack(call, data, size) : take(data, size, call);
}

/* Two bytes show whether the body is compressed; if the first comes alone and may be such a byte, it is held back until the next. */
static bool take_first(struct http_call *call, const char *data, size_t size)
{
    bool held = call->is_first_held;
    char two[2] = {held ? call->first : data[0], held ? data[0] : size > 1 ? data[1] : '\0'};
    if (!held && size == 1 && http_packing_may_be(data[0], call->says_deflate)) {
        call->first = data[0];
        return call->is_first_held = true;
    }
    enum http_packing packing = http_packing_look(two, call->says_deflate);
    if (packing != HTTP_UNPACKED)
        call->unpacker = http_unpacker_create(packing);
    call->is_first_held = false;
    return (!held || pass_on(call, two, 1)) && pass_on(call, data, size);
}

bool http_body_arrived(const char *data, size_t size, void *arg)
{
    struct http_call *call = arg;
    bool first = !call->has_begun || call->is_first_held;
    call->has_begun = true;
    return first ? take_first(call, data, size) : pass_on(call, data, size);
}

void http_body_over(struct http_call *call)
{
    if (call->is_first_held) /* a body of one byte */
        (void)take(&call->first, 1, call);
}
