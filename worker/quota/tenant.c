#include "quota/tenant.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "wire/json_member.h"

/* A JSON string's value; without escapes, as usual, the text between the quotes. */
static char *text_of(const char *json, size_t size)
{
    if (memchr(json, '\\', size) == NULL)
        return xmemdup0(json + 1, size - 2);
    AUTO_JSON json_t *value = json_loadb(json, size, JSON_DECODE_ANY, NULL); /* "\u0000" is refused: no tenant's name */
    return value != NULL ? xstrdup(json_string_value(value)) : NULL;
}

static char *hash_of(const char *text)
{
    XXH128_hash_t hash = XXH3_128bits(text, strlen(text));
    return xasprintf("xxh3:%016" PRIx64 "%016" PRIx64, (uint64_t)hash.high64, (uint64_t)hash.low64);
}

char *tenant_of(const struct job *job, const char *member_name)
{
    if (job->metadata == NULL || job->metadata[0] != '{')
        return NULL;
    struct json_member member = {.at = job->metadata, .end = job->metadata + strlen(job->metadata)};
    while (json_member_next(&member)) {
        if (!json_member_is(&member, member_name))
            continue;
        if (!member.whole || member.value_size < 3 || member.value[0] != '"')
            return NULL;
        AUTO_FREE char *text = text_of(member.value, member.value_size);
        if (text == NULL || text[0] == '\0')
            return NULL;
        return strlen(text) > TENANT_BYTES_MAX ? hash_of(text) : steal_ptr(&text);
    }
    return NULL;
}
