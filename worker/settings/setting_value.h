/* One setting's value: from its text to its field, by its type (settings_table.h), and what it owns. Any thread; blocks on nothing. */
#ifndef CHAT_SETTINGS_SETTING_VALUE_H
#define CHAT_SETTINGS_SETTING_VALUE_H

#include "base/error.h"
#include "settings/settings_table.h"

/* base: what setting->at counts from. FAILED: it is no such value; the message begins with where, and names section and key. What the field held
 * is released. */
enum status setting_store(const struct setting *setting, void *base, const char *section, const char *value, const char *where, struct error *err) MUST_CHECK;
/* What the field owns. */
void setting_release(const struct setting *setting, void *base);

#endif
