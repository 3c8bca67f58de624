#include "settings/settings_source.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/edit_distance.h"
#include "base/text_file.h"
#include "settings/ini_reader.h"
#include "settings/settings_table.h"

#define FILE_BYTES_MAX (1024 * 1024)

#define VARIABLE_PREFIX "CHATW__"

static void add(struct settings_entries *entries, enum settings_from from, const char *section, const char *key, const char *value, const char *where)
{
    entries->items = xrealloc(entries->items, (entries->count + 1) * sizeof *entries->items);
    entries->items[entries->count++] = (struct settings_entry){
        .from = from, .section = xstrdup(section), .key = xstrdup(key), .value = xstrdup(value), .where = xstrdup(where)};
}

/* ---- the file ---- */

/* Does a JSON object begin in this line and not end in it? The reader would take the next lines for keys and sections and report them as unknown, with
 * their content. */
static bool is_cut(const struct setting *setting, const char *value)
{
    json_error_t why;
    if (setting == NULL || !setting->json || *value == '\0')
        return false;
    AUTO_JSON json_t *whole = json_loads(value, 0, &why);
    return whole == NULL && json_error_code(&why) == json_error_premature_end_of_input;
}

static enum status refuse_cut(const struct setting *setting, const char *section, const char *where, struct error *err)
{
    return REFUSE(err, "%s: %s.%s: the JSON doesn't end with its line, where a value ends (or before a ; behind white space); write it in one line%s%s%s", where, section,
                  setting->key, setting->secret ? ", or into a file (" : "", setting->secret ? setting->key : "", setting->secret ? "_file)" : "");
}

static enum status collect_file(struct settings_entries *entries, const char *path, struct error *err)
{
    AUTO_FREE char *text = NULL;
    size_t size;
    char why[128];
    if (text_file_read(path, FILE_BYTES_MAX, &text, &size, why) != STATUS_OK)
        return REFUSE(err, "%s: %s", path, why);
    struct ini_reader reader;
    enum ini_got got;
    ini_reader_init(&reader, text, size);
    while ((got = ini_next(&reader)) == INI_PAIR) {
        AUTO_FREE char *where = xasprintf("%s:%d", path, reader.line);
        const struct setting *setting = setting_find(reader.section, reader.key);
        if (is_cut(setting, reader.value))
            return refuse_cut(setting, reader.section, where, err);
        add(entries, FROM_FILE, reader.section, reader.key, reader.value, where);
    }
    return got == INI_END ? STATUS_OK : REFUSE(err, "%s:%d: %s", path, reader.line, reader.fault);
}

/* ---- the environment ---- */

/* Variables are upper case and rarely contain a hyphen, but sections may: PROVIDER__EU_WEST matches [provider.EU-west] of the file. */
static bool names_section(const char *lower, const char *section)
{
    for (; *lower != '\0' && *section != '\0'; lower++, section++)
        if (*lower != tolower((unsigned char)*section) && !(*lower == '_' && *section == '-'))
            return false;
    return *lower == *section;
}

static char *named_section(const struct settings_entries *entries, const char *kind, const char *name)
{
    AUTO_FREE char *section = xasprintf("%s.%s", kind, name);
    for (size_t i = entries->count; i > 0; i--)
        if (names_section(section, entries->items[i - 1].section))
            return xstrdup(entries->items[i - 1].section);
    return steal_ptr(&section);
}

/* Is it the kind of a named section, "provider"? misspelt: also a misspelt one, so that the error names it. */
static bool is_named_kind(const char *kind, bool misspelt)
{
    for (size_t i = 0; i < named_sections_count; i++)
        if (edit_distance(kind, named_sections[i].section) <= (misspelt ? 2 : 0))
            return true;
    return false;
}

/* CHATW__SECTION__KEY; CHATW__PROVIDER__NAME__KEY; in [kafka] a single _ means a dot. */
static enum status collect_variable(struct settings_entries *entries, const char *variable, struct error *err)
{
    size_t name_length = strcspn(variable, "=");
    const char *value = variable[name_length] == '=' ? variable + name_length + 1 : "";
    AUTO_FREE char *name = xmemdup0(variable, name_length);
    AUTO_FREE char *lower = xstrdup(name + strlen(VARIABLE_PREFIX));
    for (char *c = lower; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    char *key = strstr(lower, "__");
    if (key == NULL)
        return REFUSE(err, "%s: is no CHATW__SECTION__KEY", name);
    *key = '\0';
    key += 2;
    AUTO_FREE char *section = NULL;
    if (is_named_kind(lower, strstr(key, "__") != NULL)) {
        char *after = strstr(key, "__");
        if (after == NULL)
            return REFUSE(err, "%s: is no %.*s__NAME__KEY", name, (int)(key - 2 - lower) + (int)strlen(VARIABLE_PREFIX), name);
        *after = '\0';
        section = named_section(entries, lower, key);
        key = after + 2;
    } else {
        section = xstrdup(lower);
    }
    if (strcmp(section, "kafka") == 0) {
        /* The twin's _file stays: sasl.password_file. */
        size_t length = strlen(key);
        size_t end = length > 5 && strcmp(key + length - 5, "_file") == 0 ? length - 5 : length;
        for (size_t i = 0; i < end; i++)
            if (key[i] == '_')
                key[i] = '.';
    }
    add(entries, FROM_ENVIRONMENT, section, key, value, name);
    return STATUS_OK;
}

/* ---- -X ---- */

static enum status collect_override(struct settings_entries *entries, const char *override, struct error *err)
{
    size_t name_length = strcspn(override, "=");
    AUTO_FREE char *name = xmemdup0(override, name_length);
    char *dot = strchr(name, '.');
    AUTO_FREE char *kind = xmemdup0(name, strcspn(name, "."));
    /* The section [provider.NAME] contains a dot, and NAME may contain more; keys have none. */
    if (dot != NULL && is_named_kind(kind, true))
        dot = strrchr(name, '.') == dot ? NULL : strrchr(name, '.');
    if (override[name_length] == '\0' || dot == NULL)
        return REFUSE(err, "-X %.80s: is no section.key=value", name);
    AUTO_FREE char *where = xasprintf("-X %s", name);
    *dot = '\0';
    add(entries, FROM_OVERRIDE, name, dot + 1, override + name_length + 1, where);
    return STATUS_OK;
}

/* ---- all of them ---- */

enum status settings_entries_collect(const struct settings_sources *sources, struct settings_entries *ret, struct error *err)
{
    struct settings_entries entries = {0};
    enum status status = STATUS_OK;
    if (sources->file != NULL)
        status = collect_file(&entries, sources->file, err);
    for (char *const *variable = sources->environment; status == STATUS_OK && variable != NULL && *variable != NULL; variable++)
        if (strncmp(*variable, VARIABLE_PREFIX, strlen(VARIABLE_PREFIX)) == 0)
            status = collect_variable(&entries, *variable, err);
    for (const char *const *override = sources->overrides; status == STATUS_OK && override != NULL && *override != NULL; override++)
        status = collect_override(&entries, *override, err);
    if (status == STATUS_OK)
        *ret = entries;
    else
        settings_entries_finish(&entries);
    return status;
}

void settings_entries_finish(struct settings_entries *entries)
{
    for (size_t i = 0; i < entries->count; i++) {
        free(entries->items[i].section);
        free(entries->items[i].key);
        free(entries->items[i].value);
        free(entries->items[i].where);
    }
    free(entries->items);
    *entries = (struct settings_entries){0};
}

const struct settings_entry *settings_entries_last(const struct settings_entries *entries, const char *section, const char *key)
{
    for (size_t i = entries->count; i > 0; i--) {
        const struct settings_entry *entry = &entries->items[i - 1];
        if (strcmp(entry->section, section) == 0 && strcmp(entry->key, key) == 0)
            return entry;
    }
    return NULL;
}

const char *settings_entries_where(const struct settings_entries *entries, const char *section, const char *key)
{
    AUTO_FREE char *twin_key = xasprintf("%s_file", key);
    const struct settings_entry *plain = settings_entries_last(entries, section, key);
    const struct settings_entry *twin = settings_entries_last(entries, section, twin_key);
    if (plain == NULL || (twin != NULL && twin > plain))
        plain = twin;
    return plain ? plain->where : "default";
}
