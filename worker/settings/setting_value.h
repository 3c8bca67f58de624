/* One setting's value: from its text to its field, by its type (settings_table.h), and the field's memory. Any thread; never blocks. */
#ifndef CHAT_SETTINGS_SETTING_VALUE_H
#define CHAT_SETTINGS_SETTING_VALUE_H

#include "base/error.h"
#include "settings/settings_table.h"

/* base: what setting->at is an offset in. FAILED: the value is invalid; the message begins with where, and names section and key. The field's old
 * value is freed. */
enum status setting_store(const struct setting *setting, void *base, const char *section, const char *value, const char *where, struct error *err) MUST_CHECK;
/* Frees the field's value. */
void setting_release(const struct setting *setting, void *base);

#endif
