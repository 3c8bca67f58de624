#include "wire/record.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

static void *copy_or_null(const void *value, size_t size)
{
    return value == NULL ? NULL : xmemdup0(value, size);
}

static void header_finish(struct header *header)
{
    free(header->name);
    free(header->value);
}

void headers_finish(struct headers *headers)
{
    for (size_t i = 0; i < headers->count; i++)
        header_finish(&headers->items[i]);
    free(headers->items);
    *headers = (struct headers){0};
}

void record_finish(struct record *record)
{
    free(record->topic);
    free(record->key);
    free(record->value);
    headers_finish(&record->headers);
    *record = (struct record){0};
}

size_t record_bytes(const struct record *record)
{
    size_t bytes = text_bytes(record->topic);
    bytes += record->key != NULL ? alloc_bytes(record->key_size + 1) : 0;
    bytes += record->value != NULL ? alloc_bytes(record->value_size + 1) : 0;
    bytes += record->headers.count > 0 ? alloc_bytes(record->headers.count * sizeof *record->headers.items) : 0;
    for (size_t i = 0; i < record->headers.count; i++) {
        const struct header *header = &record->headers.items[i];
        bytes += text_bytes(header->name) + (header->value != NULL ? alloc_bytes(header->size + 1) : 0);
    }
    return bytes;
}

void headers_add(struct headers *headers, const char *name, const void *value, size_t size)
{
    /* One at a time: records have a handful, and the array's maker may have left no room. */
    headers->items = xrealloc(headers->items, (headers->count + 1) * sizeof *headers->items);
    headers->items[headers->count++] = (struct header){
        .name = xstrdup(name),
        .value = copy_or_null(value, size),
        .size = value == NULL ? 0 : size,
    };
}

/* Removes headers of that name from index `from` on, keeping the order of the rest. */
static void remove_from(struct headers *headers, const char *name, size_t from)
{
    size_t kept = from;
    for (size_t i = from; i < headers->count; i++) {
        if (strcmp(headers->items[i].name, name) == 0)
            header_finish(&headers->items[i]);
        else
            headers->items[kept++] = headers->items[i];
    }
    headers->count = kept;
}

void headers_set(struct headers *headers, const char *name, const void *value, size_t size)
{
    for (size_t i = 0; i < headers->count; i++) {
        struct header *header = &headers->items[i];
        if (strcmp(header->name, name) != 0)
            continue;
        void *copy = copy_or_null(value, size); /* before the free: value may be the old one */
        free(header->value);
        header->value = copy;
        header->size = value == NULL ? 0 : size;
        remove_from(headers, header->name, i + 1); /* our own name: `name` may belong to one of those removed */
        return;
    }
    headers_add(headers, name, value, size);
}

void headers_set_text(struct headers *headers, const char *name, const char *text)
{
    headers_set(headers, name, text, strlen(text));
}

void headers_remove(struct headers *headers, const char *name)
{
    remove_from(headers, name, 0);
}

const struct header *headers_find(const struct headers *headers, const char *name)
{
    for (size_t i = headers->count; i > 0; i--)
        if (strcmp(headers->items[i - 1].name, name) == 0)
            return &headers->items[i - 1];
    return NULL;
}
