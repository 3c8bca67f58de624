#include "base/decimal.h"

#include <string.h>

/* Two digits at a time: half as many divisions. */
static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960616263646566676869"
                            "707172737475767778798081828384858687888990919293949596979899";

size_t decimal_write(int64_t number, char out[DECIMAL_SIZE])
{
    char text[DECIMAL_SIZE], *at = text + sizeof text; /* from its end */
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    *--at = '\0';
    for (; rest >= 100; rest /= 100) {
        at -= 2;
        memcpy(at, pairs + rest % 100 * 2, 2);
    }
    if (rest >= 10)
        *--at = pairs[rest * 2 + 1];
    *--at = rest >= 10 ? pairs[rest * 2] : (char)('0' + rest);
    if (number < 0)
        *--at = '-';
    size_t size = (size_t)(text + sizeof text - at);
    memcpy(out, at, size);
    return size - 1;
}

void decimal_write_six(uint32_t number, char out[6])
{
    memcpy(out, pairs + number / 10000 * 2, 2);
    memcpy(out + 2, pairs + number / 100 % 100 * 2, 2);
    memcpy(out + 4, pairs + number % 100 * 2, 2);
}
