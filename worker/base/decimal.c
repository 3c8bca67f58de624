#include "base/decimal.h"

#include <string.h>

size_t decimal_write(int64_t number, char out[DECIMAL_SIZE])
{
    char text[DECIMAL_SIZE], *at = text + sizeof text; /* from its end */
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    *--at = '\0';
    do
        *--at = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (number < 0)
        *--at = '-';
    size_t size = (size_t)(text + sizeof text - at);
    memcpy(out, at, size);
    return size - 1;
}
