/* The one table of settings: loader, --help, --print-config, the example and docs/configuration.md derive from
 * it. Private to base/settings_*.c. */
#ifndef CHAT_BASE_SETTINGS_TABLE_H
#define CHAT_BASE_SETTINGS_TABLE_H

#include "base/settings.h"

enum setting_type { SETTING_INT, SETTING_TEXT, SETTING_LIST, SETTING_CHOICE };

struct setting {
    const char *section; /* "provider" stands for every [provider.NAME] */
    const char *key;
    enum setting_type type;
    size_t at; /* offset in struct settings, or struct provider_settings; NO_FIELD: only its choices count */
    int64_t min, max;           /* SETTING_INT */
    const char *word;           /* SETTING_INT: stands for -1, beside the numbers; NULL: none does */
    const char *const *choices; /* SETTING_CHOICE: NULL-terminated; the index is the value of an int-sized enum */
    const char *unit;           /* "ms", "bytes", ...; "" none */
    const char *initial;        /* NULL: none */
    bool required;
    bool may_be_empty; /* SETTING_TEXT with an initial: given empty, it is NULL */
    bool secret; /* masked when printed; has a KEY_file twin */
    bool address; /* a URL: printed but for the password in it, secret or not */
    const char *prose;
};

#define NO_FIELD ((size_t)-1)

extern const struct setting settings_table[];
extern const size_t settings_table_count;

/* [kafka] takes any librdkafka property; these are secrets and have a `_file` twin. */
bool kafka_property_is_secret(const char *name);
/* Of [provider.NAME]: its field is in struct provider_settings. */
bool setting_is_provider(const struct setting *setting);
/* SECTION "provider.NAME" is looked up as "provider". NULL: unknown. */
const struct setting *setting_find(const char *section, const char *key);
/* Writes the known name that is most like an unknown one: the key alone where its section is right, else
 * section.key. False: none is near. */
bool setting_nearest(const char *section, const char *key, char *ret, size_t size);

#endif
