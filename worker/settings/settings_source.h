/* Where settings come from, read once and in order: file, environment, -X. What is read is text with the place it
 * stood at; settings_load.c gives it types. Reading once lets a file be a pipe, and keeping the places lets the
 * checks that come last name them too. Private to settings/, and to who reads a secret's file
 * by secret_file.h. */
#ifndef CHAT_SETTINGS_SETTINGS_SOURCE_H
#define CHAT_SETTINGS_SETTINGS_SOURCE_H

#include "settings/settings.h"

#define REFUSE(err, ...) error_set((err), ERROR_PERMANENT, "settings", __VA_ARGS__)

enum settings_from { FROM_FILE, FROM_ENVIRONMENT, FROM_OVERRIDE };

struct settings_entry {
    enum settings_from from;
    char *section; /* "worker", "provider.main"; "" for a key before any section */
    char *key;
    char *value;
    char *where; /* "FILE:LINE", "CHATW__...", "-X section.key" */
};

struct settings_entries {
    struct settings_entry *items; /* later ones take precedence */
    size_t count;
};

/* Blocks while reading the file. FAILED: *ret needn't be freed. */
enum status settings_entries_collect(const struct settings_sources *sources, struct settings_entries *ret, struct error *err) MUST_CHECK;
void settings_entries_finish(struct settings_entries *entries);

/* The last entry, which takes precedence, or NULL. */
const struct settings_entry *settings_entries_last(const struct settings_entries *entries, const char *section, const char *key);

/* Where section.key or its _file twin was last set; "default" if nowhere. */
const char *settings_entries_where(const struct settings_entries *entries, const char *section, const char *key);

#endif
