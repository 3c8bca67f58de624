/* Allocation that ends the process when out of memory: a worker that can't allocate a few hundred
 * bytes can neither answer nor report, and records without a commit are redelivered. Sizes
 * from outside are bounded before they get here. */
#ifndef CHAT_BASE_ALLOC_H
#define CHAT_BASE_ALLOC_H

#include <stddef.h>

#include "base/error.h"

#define RETURNS_OWNED __attribute__((returns_nonnull, warn_unused_result))

void *xcalloc(size_t count, size_t size) RETURNS_OWNED;
/* One zeroed block, for memory allocated for each job: by malloc, since glibc's calloc bypasses the thread's cache before 2.41. */
void *xzalloc(size_t size) RETURNS_OWNED;
void *xrealloc(void *old, size_t size) RETURNS_OWNED;
char *xstrdup(const char *text) RETURNS_OWNED;
/* Copies size bytes and adds a NUL after them. */
char *xmemdup0(const void *bytes, size_t size) RETURNS_OWNED;
char *xasprintf(const char *fmt, ...) PRINTF_LIKE(1, 2) RETURNS_OWNED;

void *xgrow_now(void *items, size_t *capacity, size_t needed, size_t item_size) RETURNS_OWNED;
/* items with room for `needed` of them; *capacity: for how many there is room. At least doubled when it grows, so that items
 * added one by one are copied a bounded number of times. New items are uninitialised. */
static inline void *xgrow(void *items, size_t *capacity, size_t needed, size_t item_size)
{
    return needed <= *capacity ? items : xgrow_now(items, capacity, needed, item_size);
}

/* malloc's memory for a block of so many bytes, to be charged to its owner: with glibc's 8 bytes in front, a multiple of
 * 16, at least 32; large ones come from the kernel in pages. */
size_t alloc_bytes(size_t size);
/* alloc_bytes of a text with its NUL; NULL: 0. */
size_t text_bytes(const char *text);

#endif
