#include "task/offset_codec.h"

#include <openssl/evp.h>
#include <roaring/roaring.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define MARK "cw1"
#define MARK_SIZE 3
#define CHECKSUM_SIZE 8


/* ---- bytes ---- */

struct bytes {
    uint8_t *data; /* owned */
    size_t size, capacity;
};

static void put(struct bytes *out, uint8_t byte)
{
    out->data = xgrow(out->data, &out->capacity, out->size + 1, 1);
    out->data[out->size++] = byte;
}

static void put_number(struct bytes *out, uint64_t number)
{
    for (; number >= 0x80; number >>= 7)
        put(out, (uint8_t)(number | 0x80));
    put(out, (uint8_t)number);
}

static size_t number_size(uint64_t number)
{
    size_t size = 1;
    for (; number >= 0x80; number >>= 7)
        size++;
    return size;
}

struct reader {
    const uint8_t *at, *end;
};

static bool get_number(struct reader *in, uint64_t *ret)
{
    uint64_t number = 0;
    for (unsigned shift = 0; shift < 64 && in->at < in->end; shift += 7) {
        uint8_t byte = *in->at++;
        if (shift == 63 && byte > 1)
            return false;
        number |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret = number;
            return true;
        }
    }
    return false;
}

static uint64_t checksum(int64_t base, const uint8_t *bytes, size_t size)
{
    uint8_t head[8];
    for (int i = 0; i < 8; i++)
        head[i] = (uint8_t)((uint64_t)base >> (8 * i));
    return XXH3_64bits_withSeed(bytes, size, XXH3_64bits(head, sizeof head));
}

/* ---- the forms ---- */

static size_t runs_size(int64_t base, const struct offset_run *runs, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; base = runs[i++].to)
        size += number_size((uint64_t)(runs[i].from - base)) + number_size((uint64_t)(runs[i].to - runs[i].from));
    return size;
}

static void write_runs(struct bytes *out, int64_t base, const struct offset_run *runs, size_t count)
{
    for (size_t i = 0; i < count; base = runs[i++].to) {
        put_number(out, (uint64_t)(runs[i].from - base));
        put_number(out, (uint64_t)(runs[i].to - runs[i].from));
    }
}

static bool read_runs(struct reader *in, int64_t base, struct offset_runs *ret)
{
    int64_t at = base;
    while (in->at < in->end) {
        uint64_t skip, length;
        if (!get_number(in, &skip) || !get_number(in, &length) || length == 0 || (skip == 0 && ret->count > 0))
            return false;
        if (skip > (uint64_t)OFFSET_SPAN_MAX || length > (uint64_t)OFFSET_SPAN_MAX ||
            at - base + (int64_t)skip + (int64_t)length > OFFSET_SPAN_MAX)
            return false;
        at += (int64_t)skip;
        offset_runs_append(ret, at, at + (int64_t)length);
        at += (int64_t)length;
    }
    return true;
}

static size_t bits_size(int64_t base, const struct offset_run *runs, size_t count)
{
    return (size_t)((runs[count - 1].to - base + 7) / 8);
}

static void write_bits(struct bytes *out, int64_t base, const struct offset_run *runs, size_t count)
{
    size_t start = out->size;
    for (size_t i = bits_size(base, runs, count); i > 0; i--)
        put(out, 0);
    for (size_t i = 0; i < count; i++)
        for (int64_t bit = runs[i].from - base; bit < runs[i].to - base; bit++)
            out->data[start + (size_t)bit / 8] |= (uint8_t)(1U << (bit % 8));
}

static bool read_bits(struct reader *in, int64_t base, struct offset_runs *ret)
{
    for (int64_t byte = 0; in->at < in->end; byte++, in->at++)
        for (int bit = 0; bit < 8; bit++)
            if (*in->at & (1U << bit))
                offset_runs_append(ret, base + byte * 8 + bit, base + byte * 8 + bit + 1);
    return true;
}

static roaring_bitmap_t *roaring_of(int64_t base, const struct offset_run *runs, size_t count)
{
    roaring_bitmap_t *bitmap = roaring_bitmap_create();
    if (bitmap == NULL)
        abort();
    for (size_t i = 0; i < count; i++)
        roaring_bitmap_add_range(bitmap, (uint64_t)(runs[i].from - base), (uint64_t)(runs[i].to - base));
    roaring_bitmap_run_optimize(bitmap);
    return bitmap;
}

static void write_roaring(struct bytes *out, const roaring_bitmap_t *bitmap)
{
    size_t size = roaring_bitmap_portable_size_in_bytes(bitmap);
    AUTO_FREE char *text = xcalloc(1, size);
    roaring_bitmap_portable_serialize(bitmap, text);
    for (size_t i = 0; i < size; i++)
        put(out, (uint8_t)text[i]);
}

struct collecting {
    struct offset_runs *runs;
    int64_t base;
    int64_t end;  /* the log end offset: a forged bitmap of few bytes may contain billions */
    int64_t next; /* the least offset that may follow: a forged bitmap may be unordered */
};

static bool collect(uint32_t value, void *arg)
{
    struct collecting *to = arg;
    if (value < to->next || to->base + value >= to->end)
        return false;
    to->next = (int64_t)value + 1;
    offset_runs_append(to->runs, to->base + value, to->base + value + 1);
    return true;
}

static bool read_roaring(struct reader *in, int64_t base, int64_t log_end, struct offset_runs *ret)
{
    size_t size = (size_t)(in->end - in->at);
    roaring_bitmap_t *bitmap = roaring_bitmap_portable_deserialize_safe((const char *)in->at, size);
    if (bitmap == NULL)
        return false;
    /* Value by value: the bitmap's own size can't be trusted. */
    bool fine = roaring_iterate(bitmap, collect, &(struct collecting){.runs = ret, .base = base, .end = log_end});
    roaring_bitmap_free(bitmap);
    return fine;
}

/* ---- encode ---- */

/* The first count runs in their smallest form. */
static void write_smallest(struct bytes *out, int64_t base, const struct offset_run *runs, size_t count, int32_t leader_epoch)
{
    roaring_bitmap_t *bitmap = roaring_of(base, runs, count);
    size_t as_runs = runs_size(base, runs, count);
    size_t as_bits = bits_size(base, runs, count);
    size_t as_roaring = roaring_bitmap_portable_size_in_bytes(bitmap);
    char form = as_runs <= as_bits && as_runs <= as_roaring ? 'r' : as_bits <= as_roaring ? 'b' : 'c';
    out->size = 0;
    put(out, (uint8_t)form);
    put_number(out, (uint64_t)((int64_t)leader_epoch + 1));
    if (form == 'r')
        write_runs(out, base, runs, count);
    else if (form == 'b')
        write_bits(out, base, runs, count);
    else
        write_roaring(out, bitmap);
    roaring_bitmap_free(bitmap);
}

/* size: bytes without the checksum. */
static size_t text_size(size_t size)
{
    return MARK_SIZE + (size + CHECKSUM_SIZE + 2) / 3 * 4;
}

char *offset_wrap(int64_t base, const uint8_t *bytes, size_t size)
{
    AUTO_FREE uint8_t *body = xcalloc(1, size + CHECKSUM_SIZE);
    char *text = xcalloc(1, text_size(size) + 1);
    uint64_t sum = checksum(base, bytes, size);
    memcpy(body, bytes, size);
    for (int i = 0; i < CHECKSUM_SIZE; i++)
        body[size + (size_t)i] = (uint8_t)(sum >> (8 * i));
    memcpy(text, MARK, MARK_SIZE); /* NOLINT(bugprone-not-null-terminated-result): the rest follows, and it was zero */
    EVP_EncodeBlock((unsigned char *)text + MARK_SIZE, body, (int)(size + CHECKSUM_SIZE));
    return text;
}

static bool fits(struct bytes *out, int64_t base, const struct offset_run *runs, size_t count, int32_t leader_epoch, size_t chars_max)
{
    write_smallest(out, base, runs, count, leader_epoch);
    return text_size(out->size) <= chars_max;
}

struct offset_text offset_encode(int64_t base, const struct offset_runs *runs, int32_t leader_epoch, size_t chars_max)
{
    struct bytes out = {0};
    size_t count = runs->count;
    while (count > 0 && runs->items[count - 1].to - base > OFFSET_SPAN_MAX)
        count--;
    if (count > 0 && !fits(&out, base, runs->items, count, leader_epoch, chars_max)) {
        size_t low = 0; /* this many fit */
        while (count - low > 1) {
            size_t middle = low + (count - low) / 2;
            if (fits(&out, base, runs->items, middle, leader_epoch, chars_max))
                low = middle;
            else
                count = middle;
        }
        count = low;
        if (count > 0)
            write_smallest(&out, base, runs->items, count, leader_epoch);
    }
    struct offset_text ret = {.text = count > 0 ? offset_wrap(base, out.data, out.size) : xstrdup(""), .whole = count == runs->count};
    free(out.data);
    return ret;
}

/* ---- decode ---- */

/* OpenSSL also decodes text that it wouldn't write: with blanks, or with other unused bits in the last character. */
static bool is_canonical(const char *text, size_t size, const uint8_t *bytes, int decoded)
{
    AUTO_FREE unsigned char *again = xcalloc(1, size + 1);
    EVP_EncodeBlock(again, bytes, decoded);
    return memcmp(again, text + MARK_SIZE, size - MARK_SIZE) == 0;
}

/* Checks mark and checksum and returns the bytes between. */
static enum status unwrap(const char *text, size_t size, int64_t base, uint8_t *bytes, struct reader *ret, struct error *err)
{
    if (size < MARK_SIZE || memcmp(text, MARK, MARK_SIZE) != 0)
        return error_set(err, ERROR_PERMANENT, "foreign", "it isn't this program's, or of another version");
    int decoded = (size - MARK_SIZE) % 4 == 0 ? EVP_DecodeBlock(bytes, (const unsigned char *)text + MARK_SIZE, (int)(size - MARK_SIZE)) : -1;
    for (size_t i = size; decoded > 0 && i > size - 2 && text[i - 1] == '='; i--)
        decoded--;
    if (decoded < CHECKSUM_SIZE + 2 || !is_canonical(text, size, bytes, decoded))
        return error_set(err, ERROR_PERMANENT, "damaged", "it is damaged or cut off");
    size_t body = (size_t)decoded - CHECKSUM_SIZE;
    uint64_t sum = 0;
    for (int i = 0; i < CHECKSUM_SIZE; i++)
        sum |= (uint64_t)bytes[body + (size_t)i] << (8 * i);
    if (sum != checksum(base, bytes, body))
        return error_set(err, ERROR_PERMANENT, "damaged", "it is damaged, or was written for another offset");
    *ret = (struct reader){bytes, bytes + body};
    return STATUS_OK;
}

static enum status read_set(struct reader *in, int64_t base, int64_t log_end, struct offset_runs *ret, int32_t *ret_leader_epoch,
                            struct error *err)
{
    uint64_t epoch;
    char form = (char)*in->at++;
    bool fine = get_number(in, &epoch) && epoch <= INT32_MAX;
    if (fine)
        *ret_leader_epoch = (int32_t)((int64_t)epoch - 1);
    fine = fine && ((form == 'r' && read_runs(in, base, ret)) || (form == 'b' && read_bits(in, base, ret)) ||
                    (form == 'c' && read_roaring(in, base, log_end, ret)));
    return fine ? STATUS_OK : error_set(err, ERROR_PERMANENT, "damaged", "its form is unknown or its numbers make no sense");
}

enum status offset_decode(const char *text, size_t size, int64_t base, int64_t log_end, struct offset_runs *ret,
                          int32_t *ret_leader_epoch, struct error *err)
{
    *ret = (struct offset_runs){0};
    *ret_leader_epoch = -1;
    if (text == NULL || size == 0)
        return STATUS_OK;
    if (size > OFFSET_TEXT_MAX * 16) /* a broker may allow more than the default */
        return error_set(err, ERROR_PERMANENT, "foreign", "it is longer than any of this program's");
    AUTO_FREE uint8_t *bytes = xcalloc(1, size);
    struct reader in = {0};
    if (unwrap(text, size, base, bytes, &in, err) != STATUS_OK)
        return STATUS_FAILED;
    enum status status = read_set(&in, base, log_end, ret, ret_leader_epoch, err);
    if (status == STATUS_OK && offset_runs_end(ret) > log_end)
        status = error_set(err, ERROR_PERMANENT, "beyond_log", "it tells of offsets that the log doesn't hold");
    if (status != STATUS_OK)
        offset_runs_finish(ret);
    return status;
}
