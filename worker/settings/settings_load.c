#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/byte_order_mark.h"
#include "base/cleanup.h"
#include "base/quotes.h"
#include "base/text_file.h"
#include "settings/settings_source.h"
#include "settings/settings_table.h"

#define SECRET_BYTES_MAX 65535

/* Choices are written through an int. */
_Static_assert(sizeof(enum ordering) == sizeof(int) && sizeof(enum log_level) == sizeof(int), "enums are ints");

/* ---- one value of each type ---- */

static void free_list(char **list)
{
    for (size_t i = 0; list != NULL && list[i] != NULL; i++)
        free(list[i]);
    free(list);
}

static char **split_list(const char *text)
{
    AUTO_FREE char *copy = xstrdup(text);
    char **list = xcalloc(1, sizeof *list);
    size_t count = 0;
    char *rest = copy;
    for (char *word; (word = strsep(&rest, ",")) != NULL;) {
        while (isspace((unsigned char)*word))
            word++;
        for (size_t n = strlen(word); n > 0 && isspace((unsigned char)word[n - 1]); n--)
            word[n - 1] = '\0';
        if (*word == '\0')
            continue;
        list = xrealloc(list, (count + 2) * sizeof *list);
        list[count++] = xstrdup(word);
        list[count] = NULL;
    }
    return list;
}

static enum status store_int(const struct setting *setting, void *field, const char *value, const char *where, const char *section, struct error *err)
{
    char *end = NULL;
    errno = 0;
    if (setting->word != NULL && strcmp(value, setting->word) == 0) {
        *(int64_t *)field = -1;
        return STATUS_OK;
    }
    long long number = strtoll(value, &end, 10);
    if (*value == '\0' || *end != '\0' || errno != 0 || number < setting->min || number > setting->max)
        return REFUSE(err, "%s: %s.%s: \"%.40s\" is no whole number from %lld to %lld%s%s%s%s", where, section, setting->key, value,
                      (long long)setting->min, (long long)setting->max, *setting->unit ? " " : "", setting->unit, setting->word ? " nor " : "",
                      setting->word ? setting->word : "");
    *(int64_t *)field = number;
    return STATUS_OK;
}

static enum status store_choice(const struct setting *setting, int *field, const char *value, const char *where, const char *section, struct error *err)
{
    char all[128] = "";
    for (int i = 0; setting->choices[i] != NULL; i++) {
        if (strcmp(value, setting->choices[i]) == 0) {
            if (field != NULL)
                *field = i;
            return STATUS_OK;
        }
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "", setting->choices[i]);
    }
    /* A setting with one choice is there for what later versions bring. */
    if (setting->choices[1] == NULL)
        return REFUSE(err, "%s: %s.%s: \"%.40s\" is not available in this version; valid: %s", where, section, setting->key, value, all);
    return REFUSE(err, "%s: %s.%s: \"%.40s\" is none of: %s", where, section, setting->key, value, all);
}

/* base: what setting->at counts from. */
static enum status store(const struct setting *setting, void *base, const char *section, const char *value, const char *where, struct error *err)
{
    void *field = setting->at == NO_FIELD ? NULL : (char *)base + setting->at;
    assert(field != NULL || setting->type == SETTING_CHOICE);
    switch (setting->type) {
    case SETTING_INT:
        return store_int(setting, field, value, where, section, err);
    case SETTING_CHOICE:
        return store_choice(setting, field, value, where, section, err);
    case SETTING_TEXT:
        free(*(char **)field);
        *(char **)field = *value ? xstrdup(value) : NULL;
        return STATUS_OK;
    case SETTING_LIST:
        free_list(*(char ***)field);
        *(char ***)field = split_list(value);
        return STATUS_OK;
    }
    return STATUS_OK;
}

/* named: those of such a section; NULL: those of the sections that are there once. */
static enum status set_defaults(void *base, const struct named_sections *named, struct error *err)
{
    for (size_t i = 0; i < settings_table_count; i++) {
        const struct setting *setting = &settings_table[i];
        if (setting->initial != NULL && named_sections_of(setting) == named &&
            store(setting, base, setting->section, setting->initial, "default", err) != STATUS_OK)
            return STATUS_FAILED;
    }
    return STATUS_OK;
}

/* A named section is there, with its defaults, once anything is said of it. *ret is good until the next call. */
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

/* ---- [kafka] ---- */

/* What the guarantees stand on. */
static enum status check_fixed(const char *name, const char *value, const char *where, bool *ret_fixed, struct error *err)
{
    static const struct {
        const char *name, *allowed[3], *why;
    } fixed[] = {{"enable.auto.commit", {"false", NULL}, "the worker commits what is done"},
                 {"enable.auto.offset.store", {"false", NULL}, "the worker commits what is done"},
                 {"acks", {"all", "-1", NULL}, "a reply must be on all replicas before its offset is done"},
                 {"request.required.acks", {"all", "-1", NULL}, "a reply must be on all replicas before its offset is done"},
                 {"enable.idempotence", {"true", NULL}, "a producer's own retry must not repeat a reply"}};
    *ret_fixed = false;
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        if (strcmp(name, fixed[i].name) != 0)
            continue;
        *ret_fixed = true;
        for (int j = 0; fixed[i].allowed[j] != NULL; j++)
            if (strcmp(value, fixed[i].allowed[j]) == 0)
                return STATUS_OK;
        return REFUSE(err, "%s: kafka.%s: can only be %s here: %s; leave it out", where, name, fixed[i].allowed[0], fixed[i].why);
    }
    return STATUS_OK;
}

static void replace(char **text, const char *value)
{
    free(*text);
    *text = *value ? xstrdup(value) : NULL;
}

static void set_property(struct settings *settings, const char *name, const char *value, const char *where)
{
    for (size_t i = 0; i < settings->kafka.property_count; i++) {
        struct kafka_property *property = &settings->kafka.properties[i];
        if (strcmp(property->name, name) == 0) {
            free(property->value);
            free(property->where);
            property->value = xstrdup(value);
            property->where = xstrdup(where);
            return;
        }
    }
    settings->kafka.properties = xrealloc(settings->kafka.properties, (settings->kafka.property_count + 1) * sizeof *settings->kafka.properties);
    settings->kafka.properties[settings->kafka.property_count++] = (struct kafka_property){xstrdup(name), xstrdup(value), xstrdup(where)};
}

const char *settings_kafka_property(const struct settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->kafka.property_count; i++)
        if (strcmp(settings->kafka.properties[i].name, name) == 0)
            return settings->kafka.properties[i].value;
    return NULL;
}

static enum status set_kafka(struct settings *settings, const char *name, const char *value, const char *where, struct error *err)
{
    bool fixed;
    if (check_fixed(name, value, where, &fixed, err) != STATUS_OK)
        return STATUS_FAILED;
    if (fixed)
        return STATUS_OK; /* whoever makes the client sets it */
    if (strcmp(name, "bootstrap.servers") == 0 || strcmp(name, "metadata.broker.list") == 0) {
        replace(&settings->kafka.bootstrap_servers, value);
        return STATUS_OK;
    }
    if (strcmp(name, "group.id") == 0) {
        replace(&settings->kafka.group_id, value);
        return STATUS_OK;
    }
    if (strcmp(name, "group.instance.id") == 0)
        replace(&settings->kafka.group_instance_id, value);
    set_property(settings, name, value, where);
    return STATUS_OK;
}

/* ---- the _file twin of a secret ---- */

static bool is_twin(const char *section, const char *key, char plain[64])
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

/* Without the one line end that editors and `echo` put last, and the mark that some editors put first. */
static enum status read_secret(const struct settings_entry *entry, char **ret, struct error *err)
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

/* ---- one entry, and all of them ---- */

/* The right key, or one like it, of another section than it stands in. */
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

/* Nothing takes quotes off. A key, a password or a prompt may begin with one that is meant, and stands in quotes as a whole by mistake. */
static enum status check_quotes(const struct settings_entry *entry, bool secret, bool list, struct error *err)
{
    if (secret ? !is_quoted(entry->value) : !has_quotes(entry->value, list))
        return STATUS_OK;
    return REFUSE(err, "%s: %s.%s: the quotes are a part of the value; write it without quotes%s%s%s", entry->where, entry->section, entry->key,
                  secret ? " (one that has them goes into a file: " : "", secret ? entry->key : "", secret ? "_file)" : "");
}

/* The value is the entry's own, or what its file holds. */
static enum status set(struct settings *settings, const struct settings_entry *entry, const char *key, const char *value, struct error *err)
{
    if (strcmp(entry->section, "kafka") == 0)
        return set_kafka(settings, key, value, entry->where, err);
    const struct setting *setting = setting_find(entry->section, key);
    const char *name = NULL;
    const struct named_sections *named = named_sections_find(entry->section, &name);
    void *base = settings;
    if (named != NULL && item_of(named, settings, name, &base, err) != STATUS_OK)
        return STATUS_FAILED;
    return store(setting, base, entry->section, value, entry->where, err);
}

/* Is there such a setting, and is its value no mistake on the face of it? */
static enum status check_entry(const struct settings_entry *entry, const struct kafka_names *names, struct error *err)
{
    char plain[64];
    bool twin = is_twin(entry->section, entry->key, plain);
    bool kafka = strcmp(entry->section, "kafka") == 0;
    const struct setting *setting = kafka ? NULL : setting_find(entry->section, twin ? plain : entry->key);
    if (kafka ? names != NULL && !names->is_known(twin ? plain : entry->key) : setting == NULL)
        return refuse_unknown(entry, names, err);
    return check_quotes(entry, !twin && (kafka ? kafka_property_is_secret(entry->key) : setting->secret && !setting->address),
                        setting != NULL && setting->type == SETTING_LIST, err);
}

/* In one source, which of the two would count is a guess that may end at the wrong account: refused. A later
 * source wins over an earlier one in either form, and what has lost isn't read: its file needn't exist. */
static enum status twin_counts(const struct settings_entries *entries, const struct settings_entry *twin, const char *plain, bool *ret, struct error *err)
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

static enum status apply(struct settings *settings, const struct settings_entries *entries, const struct settings_entry *entry, const struct kafka_names *names,
                         struct error *err)
{
    char plain[64];
    bool counts;
    AUTO_FREE char *secret = NULL;
    if (check_entry(entry, names, err) != STATUS_OK)
        return STATUS_FAILED;
    if (!is_twin(entry->section, entry->key, plain))
        return set(settings, entry, entry->key, entry->value, err);
    if (twin_counts(entries, entry, plain, &counts, err) != STATUS_OK)
        return STATUS_FAILED;
    if (!counts)
        return STATUS_OK;
    if (read_secret(entry, &secret, err) != STATUS_OK)
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
    /* A plugin brings properties of its own. */
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
        if (named_sections_of(setting) != named || setting->at == NO_FIELD)
            continue;
        if (setting->type == SETTING_TEXT)
            free(*(char **)((char *)base + setting->at));
        else if (setting->type == SETTING_LIST)
            free_list(*(char ***)((char *)base + setting->at));
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
    for (size_t i = 0; i < settings->kafka.property_count; i++) {
        free(settings->kafka.properties[i].name);
        free(settings->kafka.properties[i].value);
        free(settings->kafka.properties[i].where);
    }
    free(settings->kafka.properties);
    free(settings->kafka.bootstrap_servers);
    free(settings->kafka.group_id);
    free(settings->kafka.group_instance_id);
    free(settings);
}
