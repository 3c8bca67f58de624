#include "wire/job_scan.h"

#include <stdint.h>
#include <string.h>

/* Length of the well-formed sequence at p, or 0. The ranges of the second byte are those of RFC 3629. */
static size_t sequence_length(const uint8_t *p, size_t left)
{
    uint8_t low = 0x80;
    uint8_t high = 0xBF;
    size_t length;
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xC2 && p[0] <= 0xDF) {
        length = 2;
    } else if (p[0] >= 0xE0 && p[0] <= 0xEF) {
        length = 3;
        low = p[0] == 0xE0 ? 0xA0 : low;    /* overlong */
        high = p[0] == 0xED ? 0x9F : high;  /* surrogates */
    } else if (p[0] >= 0xF0 && p[0] <= 0xF4) {
        length = 4;
        low = p[0] == 0xF0 ? 0x90 : low;    /* overlong */
        high = p[0] == 0xF4 ? 0x8F : high;  /* over U+10FFFF */
    } else {
        return 0;
    }
    if (length > left || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return length;
}

size_t utf8_invalid_at(const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    size_t i = 0;
    while (i < size) {
        uint64_t eight;
        if (size - i >= sizeof eight) { /* most text is ASCII: eight bytes a step */
            memcpy(&eight, p + i, sizeof eight);
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                i += sizeof eight;
                continue;
            }
        }
        size_t length = sequence_length(p + i, size - i);
        if (length == 0)
            return i;
        i += length;
    }
    return SCAN_NOWHERE;
}

/* The four hex digits of \uXXXX, whose backslash is at p; -1 when it isn't one. */
static int unicode_escape(const char *p, const char *end)
{
    if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
        return -1;
    int code = 0;
    for (int i = 2; i < 6; i++) {
        int digit;
        if (p[i] >= '0' && p[i] <= '9')
            digit = p[i] - '0';
        else if ((p[i] | 0x20) >= 'a' && (p[i] | 0x20) <= 'f')
            digit = (p[i] | 0x20) - 'a' + 10;
        else
            return -1;
        code = code * 16 + digit;
    }
    return code;
}

/* From just behind an opening quote to its closing quote, or to end. */
static const char *string_end(const char *p, const char *end, const char *json, struct job_scan *found)
{
    while (p < end && *p != '"') {
        if (*p != '\\') {
            p++;
            continue;
        }
        int code = unicode_escape(p, end);
        if (code == 0)
            found->has_nul_escape = true;
        if (code >= 0xD800 && code <= 0xDFFF) {
            int low = code <= 0xDBFF ? unicode_escape(p + 6, end) : -1;
            if (low < 0xDC00 || low > 0xDFFF) {
                found->lone_surrogate_at = (size_t)(p - json);
                return end;
            }
            p += 6;
        }
        p += code >= 0 ? 6 : end - p > 1 ? 2 : 1;
    }
    return p;
}

struct job_scan job_scan(const char *json, size_t size, size_t depth_max)
{
    struct job_scan found = {.too_deep_at = SCAN_NOWHERE, .lone_surrogate_at = SCAN_NOWHERE};
    const char *end = json + size;
    size_t depth = 0;
    size_t digits = 0;
    for (const char *p = json; p < end; p++) {
        if (*p >= '0' && *p <= '9') {
            if (++digits == 16)
                found.has_long_number = true;
            continue;
        }
        digits = 0;
        if (*p == '"') {
            p = string_end(p + 1, end, json, &found);
            if (p == end)
                break;
        } else if (*p == '{' || *p == '[') {
            if (++depth > depth_max) {
                found.too_deep_at = (size_t)(p - json);
                break;
            }
        } else if ((*p == '}' || *p == ']') && depth > 0) {
            depth--;
        }
    }
    return found;
}
