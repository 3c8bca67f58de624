/* The one table of settings: loader, --help, --print-config, the example and docs/configuration.md derive from
 * it. Private to base/settings_*.c. */
#ifndef CHAT_SETTINGS_SETTINGS_TABLE_H
#define CHAT_SETTINGS_SETTINGS_TABLE_H

#include "settings/settings.h"

enum setting_type { SETTING_INT, SETTING_TEXT, SETTING_LIST, SETTING_CHOICE };

struct setting {
    const char *section; /* "provider" means every [provider.NAME] (named_sections) */
    const char *key;
    enum setting_type type;
    size_t at; /* offset in struct settings, or in a named section's struct */
    int64_t min, max;           /* SETTING_INT */
    const char *word;           /* SETTING_INT: a word for -1, besides the numbers; NULL: none */
    const char *const *choices; /* SETTING_CHOICE: NULL-terminated; the index is the value of an int-sized enum */
    const char *unit;           /* "ms", "bytes", ...; "" none */
    const char *initial;        /* NULL: none */
    const char *example;        /* NULL: initial is used */
    bool required;
    bool may_be_empty; /* SETTING_TEXT with an initial: set to empty, it is NULL */
    bool secret; /* masked when printed; has a KEY_file twin */
    bool json;   /* SETTING_TEXT: a JSON object */
    bool address; /* a URL: printed without the password in it, secret or not */
    const char *prose;
};


extern const struct setting settings_table[];
extern const size_t settings_table_count;

/* [kafka] takes any librdkafka property; these are secrets and have a `_file` twin. */
bool kafka_property_is_secret(const char *name);

/* Kinds of sections of which there may be several, each with a name: [provider.NAME]. In struct settings they are an array
 * and its count; an item begins with its name. */
struct named_sections {
    const char *section; /* "provider" */
    const char *example; /* an example of a name */
    bool needed;         /* there must be at least one */
    size_t items_at, count_at, item_size;
};
extern const struct named_sections named_sections[];
extern const size_t named_sections_count;
/* NULL: a section that exists once. */
const struct named_sections *named_sections_of(const struct setting *setting);
/* The kind of SECTION, "provider.main", and its name; NULL: not a named section. */
const struct named_sections *named_sections_find(const char *section, const char **ret_name);
#define NAMED_SECTION_BYTES_MAX 64 /* of a name */
/* Is it a word of a-z A-Z 0-9 . _ -, of that size at most? A name stands as it is in traces and in llm.context_prompt. */
bool named_sections_may_be(const char *name);
size_t named_sections_size(const struct named_sections *named, const struct settings *settings);
void *named_sections_item(const struct named_sections *named, const struct settings *settings, size_t index);
const char *named_sections_name(const struct named_sections *named, const struct settings *settings, size_t index);
/* Adds a section of this name, all zero. Pointers to others are invalid then. */
void *named_sections_add(const struct named_sections *named, struct settings *settings, const char *name);
void named_sections_free(const struct named_sections *named, struct settings *settings); /* frees names and array; free the fields before */

/* SECTION "provider.NAME" is looked up as "provider". NULL: unknown. */
const struct setting *setting_find(const char *section, const char *key);
/* Writes the known name nearest to an unknown one: the key alone if its section is right, else
 * section.key. False: none is near. */
bool setting_nearest(const char *section, const char *key, char *ret, size_t size);

#endif
