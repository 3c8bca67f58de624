#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *or_die(void *got)
{
    if (got == NULL) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return got;
}

void *xcalloc(size_t count, size_t size)
{
    return or_die(calloc(count ? count : 1, size ? size : 1));
}

void *xzalloc(size_t size)
{
    return memset(xrealloc(NULL, size), 0, size);
}

void *xrealloc(void *old, size_t size)
{
    return or_die(realloc(old, size ? size : 1));
}

#define GROWN_BYTES_MIN 64

void *xgrow_now(void *items, size_t *capacity, size_t needed, size_t item_size)
{
    size_t least = GROWN_BYTES_MIN / item_size, doubled = 2 * *capacity;
    *capacity = needed > doubled ? needed : doubled;
    if (*capacity < least)
        *capacity = least;
    return xrealloc(items, *capacity * item_size);
}

char *xstrdup(const char *text)
{
    return or_die(strdup(text));
}

char *xmemdup0(const void *bytes, size_t size)
{
    char *copy = or_die(malloc(size + 1));
    if (size > 0)
        memcpy(copy, bytes, size);
    copy[size] = '\0';
    return copy;
}

char *xasprintf(const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int length = vasprintf(&text, fmt, args);
    va_end(args);
    return or_die(length < 0 ? NULL : text);
}

#define MAPPED_BYTES_MIN (128 * 1024) /* M_MMAP_THRESHOLD's default */
#define PAGE_BYTES 4096

size_t alloc_bytes(size_t size)
{
    if (size >= MAPPED_BYTES_MIN)
        return (size + 16 + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    size_t rounded = (size + 8 + 15) / 16 * 16;
    return rounded < 32 ? 32 : rounded;
}

size_t text_bytes(const char *text)
{
    return text != NULL ? alloc_bytes(strlen(text) + 1) : 0;
}
