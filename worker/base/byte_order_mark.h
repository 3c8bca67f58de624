/* The byte order mark that some programs put before UTF-8 text (U+FEFF as EF BB BF): not part of the text. */
#ifndef CHAT_BASE_BYTE_ORDER_MARK_H
#define CHAT_BASE_BYTE_ORDER_MARK_H

#include <stddef.h>
#include <string.h>

/* How many bytes to skip: 3, or 0. bytes may be NULL with size 0. */
static inline size_t byte_order_mark_size(const void *bytes, size_t size)
{
    return size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

#endif
