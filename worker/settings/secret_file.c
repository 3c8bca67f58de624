#include "settings/secret_file.h"

#include <stdio.h>
#include <string.h>

#include "base/byte_order_mark.h"
#include "base/cleanup.h"
#include "base/text_file.h"
#include "settings/settings_table.h"

#define SECRET_BYTES_MAX 65535

bool secret_file_names(const char *section, const char *key, char plain[64])
{
    size_t length = strlen(key);
    if (length <= 5 || length >= 64 || strcmp(key + length - 5, "_file") != 0)
        return false;
    snprintf(plain, 64, "%.*s", (int)(length - 5), key);
    if (strcmp(section, "kafka") == 0)
        return kafka_property_is_secret(plain);
    const struct setting *setting = setting_find(section, plain);
    return setting != NULL && setting->secret;
}

enum status secret_file_read(const struct settings_entry *entry, char **ret, struct error *err)
{
    AUTO_FREE char *text = NULL;
    size_t size;
    char why[128];
    if (text_file_read(entry->value, SECRET_BYTES_MAX, &text, &size, why) != STATUS_OK)
        return REFUSE(err, "%s: %s.%s: %s %s", entry->where, entry->section, entry->key, entry->value, why);
    if (memchr(text, '\0', size) != NULL)
        return REFUSE(err, "%s: %s.%s: %s holds a NUL byte", entry->where, entry->section, entry->key, entry->value);
    if (size > 0 && text[size - 1] == '\n') {
        text[--size] = '\0';
        if (size > 0 && text[size - 1] == '\r')
            text[--size] = '\0';
    }
    size_t mark = byte_order_mark_size(text, size);
    memmove(text, text + mark, size - mark + 1);
    *ret = steal_ptr(&text);
    return STATUS_OK;
}

enum status secret_file_counts(const struct settings_entries *entries, const struct settings_entry *twin, const char *plain, bool *ret, struct error *err)
{
    *ret = settings_entries_last(entries, twin->section, twin->key) == twin;
    for (size_t i = 0; i < entries->count; i++) {
        const struct settings_entry *other = &entries->items[i];
        if (strcmp(other->section, twin->section) != 0 || strcmp(other->key, plain) != 0)
            continue;
        if (other->from == twin->from)
            return REFUSE(err, "%s: %s.%s: %s is given too (%s); give one of them", twin->where, twin->section, twin->key, plain, other->where);
        if (other->from > twin->from)
            *ret = false;
    }
    return STATUS_OK;
}
