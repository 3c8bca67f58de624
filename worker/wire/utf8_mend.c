#include "wire/utf8_mend.h"

#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "wire/job_scan.h"

void utf8_put_half(uint32_t unit, char ret[UTF8_HALF_BYTES])
{
    ret[0] = (char)(0xE0 | (unit >> 12));
    ret[1] = (char)(0x80 | ((unit >> 6) & 0x3F));
    ret[2] = (char)(0x80 | (unit & 0x3F));
}

/* The half that begins at p, or 0. */
static uint32_t half_at(const uint8_t *p, size_t left)
{
    if (left < UTF8_HALF_BYTES || p[0] != 0xED || p[1] < 0xA0 || p[1] > 0xBF || (p[2] & 0xC0) != 0x80)
        return 0;
    return 0xD000u | ((uint32_t)(p[1] & 0x3F) << 6) | (uint32_t)(p[2] & 0x3F);
}

static bool is_high(uint32_t half)
{
    return half >= 0xD800 && half <= 0xDBFF;
}

/* How long the character that begins with such a byte is; 0: none does. */
static size_t announced(uint8_t lead)
{
    return lead >= 0xC2 && lead <= 0xDF ? 2 : lead >= 0xE0 && lead <= 0xEF ? 3 : lead >= 0xF0 && lead <= 0xF4 ? 4 : 0;
}

static bool may_be_second(uint8_t lead, uint8_t second)
{
    uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    return second >= low && second <= high;
}

/* How many bytes at p, which begin no complete character, are the beginning of one; at least one. */
static size_t cut_length(const uint8_t *p, size_t left)
{
    size_t whole = announced(p[0]), length = 1;
    if (whole == 0 || left < 2 || !may_be_second(p[0], p[1]))
        return 1;
    for (length = 2; length < whole && length < left && (p[length] & 0xC0) == 0x80;)
        length++;
    return length;
}

static size_t put_joined(uint32_t high, uint32_t low, char *out)
{
    uint32_t code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
    if (out != NULL) {
        out[0] = (char)(0xF0 | (code >> 18));
        out[1] = (char)(0x80 | ((code >> 12) & 0x3F));
        out[2] = (char)(0x80 | ((code >> 6) & 0x3F));
        out[3] = (char)(0x80 | (code & 0x3F));
    }
    return 4;
}

/* Mends one fault at p: returns its size; *ret_put: the size of the replacement. */
static size_t mend_one(const uint8_t *p, size_t left, char *out, size_t *ret_put)
{
    uint32_t half = half_at(p, left);
    uint32_t next = half != 0 ? half_at(p + UTF8_HALF_BYTES, left - UTF8_HALF_BYTES) : 0;
    if (is_high(half) && next != 0 && !is_high(next)) {
        *ret_put = put_joined(half, next, out);
        return 2 * UTF8_HALF_BYTES;
    }
    *ret_put = sizeof UTF8_REPLACEMENT - 1;
    if (out != NULL)
        memcpy(out, UTF8_REPLACEMENT, *ret_put);
    return half != 0 ? UTF8_HALF_BYTES : cut_length(p, left);
}

/* out: NULL: only count. */
static size_t mend(const char *bytes, size_t size, char *out)
{
    size_t made = 0;
    for (size_t at = 0; at < size;) {
        size_t bad = utf8_invalid_at(bytes + at, size - at), put;
        size_t good = bad == SCAN_NOWHERE ? size - at : bad;
        if (out != NULL)
            memcpy(out + made, bytes + at, good);
        made += good;
        at += good;
        if (at == size)
            break;
        at += mend_one((const uint8_t *)bytes + at, size - at, out != NULL ? out + made : NULL, &put);
        made += put;
    }
    return made;
}

size_t utf8_mended_size(const char *bytes, size_t size)
{
    return mend(bytes, size, NULL);
}

char *utf8_mend(const char *bytes, size_t size, size_t *ret_size)
{
    size_t made = utf8_mended_size(bytes, size);
    char *text = xrealloc(NULL, made + 1);
    mend(bytes, size, text);
    text[made] = '\0';
    if (ret_size != NULL)
        *ret_size = made;
    return text;
}

/* How many of the last bytes are an incomplete character. */
static size_t cut_at_end(const uint8_t *bytes, size_t size)
{
    for (size_t n = 1; n <= 3 && n <= size; n++) {
        const uint8_t *p = bytes + size - n;
        if ((p[0] & 0xC0) == 0x80)
            continue;
        bool of_half = p[0] == 0xED && n == 2 && p[1] >= 0xA0; /* without the third byte */
        return n < announced(p[0]) && (of_half || cut_length(p, n) == n) ? n : 0;
    }
    return 0;
}

size_t utf8_open_tail(const char *bytes, size_t size)
{
    const uint8_t *p = (const uint8_t *)bytes;
    size_t cut = cut_at_end(p, size);
    size_t before = size - cut;
    bool waits = before >= UTF8_HALF_BYTES && is_high(half_at(p + before - UTF8_HALF_BYTES, UTF8_HALF_BYTES));
    return waits && (cut == 0 || p[before] == 0xED) ? cut + UTF8_HALF_BYTES : cut;
}
