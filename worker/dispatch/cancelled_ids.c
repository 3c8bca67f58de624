#include "dispatch/cancelled_ids.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/alloc.h"

struct cancelled_id {
    UT_hash_handle hh;
    int64_t added_ms;
    size_t size;
    char text[];
};

static struct cancelled_id *find(const struct cancelled_ids *ids, const char *id)
{
    struct cancelled_id *found = NULL;
    HASH_FIND_STR(ids->oldest, id, found);
    return found;
}

static void forget(struct cancelled_ids *ids, struct cancelled_id *id)
{
    HASH_DEL(ids->oldest, id);
    ids->count--;
    ids->bytes -= id->size;
    free(id);
}

static bool has_passed(const struct cancelled_id *id, int64_t now_ms)
{
    return now_ms - id->added_ms >= CANCELLED_KEPT_MS;
}

void cancelled_ids_add(struct cancelled_ids *ids, const char *text, int64_t now_ms)
{
    struct cancelled_id *known = find(ids, text);
    if (known != NULL)
        forget(ids, known);
    size_t size = strlen(text);
    struct cancelled_id *id = xcalloc(1, sizeof *id + size + 1);
    id->added_ms = now_ms;
    id->size = size;
    memcpy(id->text, text, size);
    HASH_ADD_STR(ids->oldest, text, id);
    ids->count++;
    ids->bytes += size;
    while (ids->oldest != id && (ids->count > CANCELLED_IDS_MAX || ids->bytes > CANCELLED_IDS_BYTES_MAX || has_passed(ids->oldest, now_ms)))
        forget(ids, ids->oldest);
}

bool cancelled_ids_has(const struct cancelled_ids *ids, const char *id, int64_t now_ms)
{
    const struct cancelled_id *found = ids->count > 0 ? find(ids, id) : NULL;
    return found != NULL && !has_passed(found, now_ms);
}

void cancelled_ids_finish(struct cancelled_ids *ids)
{
    while (ids->oldest != NULL)
        forget(ids, ids->oldest); /* NOLINT(clang-analyzer-unix.Malloc): it leaves the list before it is freed */
}
