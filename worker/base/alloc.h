/* Allocation that ends the process when memory is gone: a worker that can't allocate a few hundred
 * bytes can neither answer nor report, and what it had not acknowledged is redelivered. Sizes that
 * come from outside are bounded before they get here. */
#ifndef CHAT_BASE_ALLOC_H
#define CHAT_BASE_ALLOC_H

#include <stddef.h>

#include "base/error.h"

#define RETURNS_OWNED __attribute__((returns_nonnull, warn_unused_result))

void *xcalloc(size_t count, size_t size) RETURNS_OWNED;
/* One zeroed piece, of what comes and goes with each job: by malloc, since glibc's calloc passes by the thread's cache before 2.41. */
void *xzalloc(size_t size) RETURNS_OWNED;
void *xrealloc(void *old, size_t size) RETURNS_OWNED;
char *xstrdup(const char *text) RETURNS_OWNED;
/* Copies size bytes and adds a NUL after them. */
char *xmemdup0(const void *bytes, size_t size) RETURNS_OWNED;
char *xasprintf(const char *fmt, ...) PRINTF_LIKE(1, 2) RETURNS_OWNED;

void *xgrow_now(void *items, size_t *capacity, size_t needed, size_t item_size) RETURNS_OWNED;
/* items with room for `needed` of them; *capacity counts those there is room for. Grown to twice what it was, or to what is needed: what is
 * put in one by one is copied a bounded number of times. What is new is not set to anything. */
static inline void *xgrow(void *items, size_t *capacity, size_t needed, size_t item_size)
{
    return needed <= *capacity ? items : xgrow_now(items, capacity, needed, item_size);
}

/* What malloc spends on a piece of so many bytes: what is charged to whoever holds it. glibc's 8 bytes before each, a multiple of
 * 16, 32 at least; large ones come from the kernel in pages. */
size_t alloc_bytes(size_t size);
/* The same of a text and its NUL; NULL costs nothing. */
size_t text_bytes(const char *text);

#endif
