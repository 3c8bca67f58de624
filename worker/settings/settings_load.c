#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/quotes.h"
#include "settings/kafka_properties.h"
#include "settings/secret_file.h"
#include "settings/setting_value.h"
#include "settings/settings_check.h"
#include "settings/settings_source.h"
#include "settings/settings_table.h"

/* named: the defaults of such a section; NULL: those of sections that exist once. */
static enum status set_defaults(void *base, const struct named_sections *named, struct error *err)
{
    for (size_t i = 0; i < settings_table_count; i++) {
        const struct setting *setting = &settings_table[i];
        if (setting->initial != NULL && named_sections_of(setting) == named &&
            setting_store(setting, base, setting->section, setting->initial, "default", err) != STATUS_OK)
            return STATUS_FAILED;
    }
    return STATUS_OK;
}

/* A named section exists, with its defaults, once one of its keys is set. *ret is valid until the next call. */
static enum status item_of(const struct named_sections *named, struct settings *settings, const char *name, void **ret, struct error *err)
{
    for (size_t i = 0; i < named_sections_size(named, settings); i++)
        if (strcmp(named_sections_name(named, settings, i), name) == 0) {
            *ret = named_sections_item(named, settings, i);
            return STATUS_OK;
        }
    *ret = named_sections_add(named, settings, name);
    return set_defaults(*ret, named, err);
}

/* The nearest known key, also in other sections. */
static bool find_nearest(const struct settings_entry *entry, const struct kafka_names *names, char *ret, size_t size)
{
    char name[64];
    bool found;
    if (strcmp(entry->section, "kafka") == 0) {
        if ((found = names != NULL && kafka_names_nearest(names->show, entry->key, name)))
            snprintf(ret, size, "%s", name);
        return found;
    }
    if (names != NULL && names->is_known(entry->key))
        return snprintf(ret, size, "kafka.%s", entry->key) > 0;
    return setting_nearest(entry->section, entry->key, ret, size);
}

static enum status refuse_unknown(const struct settings_entry *entry, const struct kafka_names *names, struct error *err)
{
    char nearest[128];
    if (find_nearest(entry, names, nearest, sizeof nearest))
        return REFUSE(err, "%s: %.80s.%.80s is unknown; do you mean %s?", entry->where, entry->section, entry->key, nearest);
    if (strcmp(entry->section, "kafka") == 0)
        return REFUSE(err, "%s: kafka.%.80s is unknown to librdkafka; its properties: " KAFKA_NAMES_PAGE, entry->where, entry->key);
    return REFUSE(err, "%s: %.80s.%.80s is unknown; chat-worker --help lists the settings", entry->where, *entry->section ? entry->section : "(no section)",
                  entry->key);
}

/* Does the value, or one of a list, begin with a quote? */
static bool has_quotes(const char *value, bool list)
{
    bool found = begins_quoted(value);
    for (const char *at = list ? strchr(value, ',') : NULL; !found && at != NULL; at = strchr(at + 1, ','))
        found = begins_quoted(at + 1 + strspn(at + 1, " \t"));
    return found;
}

/* Quotes aren't removed. A secret or a prompt may begin with a quote on purpose, but is in quotes as a whole only by mistake. */
static enum status check_quotes(const struct settings_entry *entry, bool secret, bool list, struct error *err)
{
    if (secret ? !is_quoted(entry->value) : !has_quotes(entry->value, list))
        return STATUS_OK;
    return REFUSE(err, "%s: %s.%s: the quotes are a part of the value; write it without quotes%s%s%s", entry->where, entry->section, entry->key,
                  secret ? " (one that has them goes into a file: " : "", secret ? entry->key : "", secret ? "_file)" : "");
}

/* The value is the entry's, or the content of its file. */
static enum status set(struct settings *settings, const struct settings_entry *entry, const char *key, const char *value, struct error *err)
{
    if (strcmp(entry->section, "kafka") == 0)
        return kafka_properties_set(settings, key, value, entry->where, err);
    const struct setting *setting = setting_find(entry->section, key);
    const char *name = NULL;
    const struct named_sections *named = named_sections_find(entry->section, &name);
    void *base = settings;
    if (named != NULL && !named_sections_may_be(name))
        return REFUSE(err, "%s: [%.80s]: its name must be of a-z A-Z 0-9 . _ -, %d at most", entry->where, entry->section, NAMED_SECTION_BYTES_MAX);
    if (named != NULL && item_of(named, settings, name, &base, err) != STATUS_OK)
        return STATUS_FAILED;
    return setting_store(setting, base, entry->section, value, entry->where, err);
}

/* Does the setting exist, and is its value not an obvious mistake? */
static enum status check_entry(const struct settings_entry *entry, const struct kafka_names *names, struct error *err)
{
    char plain[64];
    bool twin = secret_file_names(entry->section, entry->key, plain);
    bool kafka = strcmp(entry->section, "kafka") == 0;
    const struct setting *setting = kafka ? NULL : setting_find(entry->section, twin ? plain : entry->key);
    if (kafka ? names != NULL && !names->is_known(twin ? plain : entry->key) : setting == NULL)
        return refuse_unknown(entry, names, err);
    return check_quotes(entry, !twin && (kafka ? kafka_property_is_secret(entry->key) : setting->secret && !setting->address),
                        setting != NULL && setting->type == SETTING_LIST, err);
}

static enum status apply(struct settings *settings, const struct settings_entries *entries, const struct settings_entry *entry, const struct kafka_names *names,
                         struct error *err)
{
    char plain[64];
    bool counts;
    AUTO_FREE char *secret = NULL;
    if (check_entry(entry, names, err) != STATUS_OK)
        return STATUS_FAILED;
    if (!secret_file_names(entry->section, entry->key, plain))
        return set(settings, entry, entry->key, entry->value, err);
    if (secret_file_counts(entries, entry, plain, &counts, err) != STATUS_OK)
        return STATUS_FAILED;
    if (!counts)
        return STATUS_OK;
    if (secret_file_read(entry, &secret, err) != STATUS_OK)
        return STATUS_FAILED;
    return set(settings, entry, plain, secret, err);
}

enum status settings_load(const struct settings_sources *sources, struct settings **ret, struct error *err)
{
    struct settings_entries entries = {0};
    if (settings_entries_collect(sources, &entries, err) != STATUS_OK)
        return STATUS_FAILED;
    struct settings *settings = xcalloc(1, sizeof *settings);
    settings->kafka.group_id = xstrdup("chat-worker");
    enum status status = set_defaults(settings, NULL, err);
    /* A plugin has properties of its own. */
    const struct kafka_names *names = settings_entries_last(&entries, "kafka", "plugin.library.paths") == NULL ? sources->kafka_names : NULL;
    for (size_t i = 0; i < entries.count && status == STATUS_OK; i++)
        status = apply(settings, &entries, &entries.items[i], names, err);
    if (status == STATUS_OK)
        status = settings_check(settings, &entries, err);
    settings_entries_finish(&entries);
    if (status != STATUS_OK) {
        settings_destroy(settings);
        return status;
    }
    *ret = settings;
    return STATUS_OK;
}

static void finish_fields(void *base, const struct named_sections *named)
{
    for (size_t i = 0; i < settings_table_count; i++) {
        const struct setting *setting = &settings_table[i];
        if (named_sections_of(setting) == named)
            setting_release(setting, base);
    }
}

void settings_destroy(struct settings *settings)
{
    if (settings == NULL)
        return;
    finish_fields(settings, NULL);
    for (size_t i = 0; i < settings->provider_count; i++)
        provider_headers_free(settings->providers[i].sent_headers);
    for (size_t n = 0; n < named_sections_count; n++) {
        for (size_t i = 0; i < named_sections_size(&named_sections[n], settings); i++)
            finish_fields(named_sections_item(&named_sections[n], settings, i), &named_sections[n]);
        named_sections_free(&named_sections[n], settings);
    }
    kafka_properties_free(settings);
    free(settings);
}
