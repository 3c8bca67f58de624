/* Compressed bodies, cut anywhere. */
#include "http/http_unpack.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "llm/text_buffer.h"

#define GZIP 31
#define ZLIB 15
#define BARE (-15)

static void pack(const char *text, size_t size, int window_bits, struct text_buffer *ret)
{
    z_stream z = {0};
    size_t room = size + 1024;
    AUTO_FREE char *out = malloc(room);
    cr_assert_eq(deflateInit2(&z, 9, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)text;
    z.avail_in = (uInt)size;
    z.next_out = (Bytef *)out;
    z.avail_out = (uInt)room;
    cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    text_buffer_append(ret, out, room - z.avail_out);
    deflateEnd(&z);
}

static size_t taken_max;

static bool take(const char *bytes, size_t size, void *arg)
{
    struct text_buffer *to = arg;
    text_buffer_append(to, bytes, size);
    return to->size <= taken_max;
}

static enum status unpack(const struct text_buffer *packed, size_t step, struct text_buffer *ret)
{
    struct http_unpacker *unpacker = http_unpacker_create(http_packing_look(packed->bytes, true));
    enum status status = STATUS_OK;
    for (size_t at = 0; at < packed->size && status == STATUS_OK; at += step) {
        size_t length = packed->size - at < step ? packed->size - at : step;
        AUTO_FREE char *piece = malloc(length); /* ASan sees a read beyond it */
        memcpy(piece, packed->bytes + at, length);
        status = http_unpack(unpacker, piece, length, take, ret);
    }
    http_unpacker_destroy(unpacker);
    return status;
}

Test(http_unpack, gives_what_was_packed_however_it_is_cut)
{
    size_t size = 200000;
    AUTO_FREE char *text = malloc(size);
    for (size_t i = 0; i < size; i++)
        text[i] = (char)("{\"a\":1}"[i % 7] + (i % 1009 == 0));
    const int forms[] = {GZIP, ZLIB, BARE};
    const size_t steps[] = {1, 7, 4096, SIZE_MAX / 2};
    taken_max = SIZE_MAX;
    for (size_t f = 0; f < 3; f++) {
        struct text_buffer packed = {0};
        pack(text, size, forms[f], &packed);
        cr_expect_eq(http_packing_look(packed.bytes, forms[f] == BARE), forms[f] == BARE ? HTTP_BARE : HTTP_WRAPPED);
        cr_expect(http_packing_may_be(packed.bytes[0], forms[f] == BARE));
        if (forms[f] == GZIP) /* another member, and bytes that are none */
            pack("more", 4, GZIP, &packed);
        text_buffer_append(&packed, "\0\0", 2);
        for (size_t s = 0; s < sizeof steps / sizeof steps[0]; s++) {
            struct text_buffer got = {0};
            cr_expect_eq(unpack(&packed, steps[s], &got), STATUS_OK);
            cr_assert_eq(got.size, size + (forms[f] == GZIP ? 4 : 0), "form %zu, step %zu", f, steps[s]);
            cr_expect_eq(memcmp(got.bytes, text, size), 0);
            text_buffer_finish(&got);
        }
        text_buffer_finish(&packed);
    }
}

Test(http_unpack, a_bomb_ends_where_no_more_is_wanted)
{
    size_t size = 64 << 20;
    AUTO_FREE char *text = calloc(1, size);
    struct text_buffer packed = {0}, got = {0};
    pack(text, size, GZIP, &packed);
    taken_max = 100000;
    cr_expect_eq(unpack(&packed, packed.size, &got), STATUS_CLOSED);
    cr_expect_leq(got.size, taken_max + 20000, "not much of it was unpacked");
    text_buffer_finish(&got);
    text_buffer_finish(&packed);
}

Test(http_unpack, what_is_damaged_fails)
{
    struct text_buffer packed = {0}, got = {0};
    taken_max = SIZE_MAX;
    pack("some text that is long enough", 29, GZIP, &packed);
    packed.bytes[12] ^= 0x55;
    cr_expect_eq(unpack(&packed, 5, &got), STATUS_FAILED);
    text_buffer_finish(&got);
    text_buffer_finish(&packed);
}

Test(http_unpack, texts_are_not_packed)
{
    static const char *const texts[] = {"{\"", "[{", "da", ": ", "\xef\xbb", "xy", "x ", "<h", "\x1f ", "\x8b\x1f"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        cr_expect_eq(http_packing_look(texts[i], false), HTTP_UNPACKED, "%s", texts[i]);
    for (size_t i = 0; i < 5; i++)
        cr_expect_eq(http_packing_look(texts[i], true), HTTP_UNPACKED, "whatever the header says: %s", texts[i]);
    cr_expect_not(http_packing_may_be('{', false));
}
