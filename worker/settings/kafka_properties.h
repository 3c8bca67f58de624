/* Section [kafka]: librdkafka's properties, passed on as they are, but for those that the worker's guarantees stand on. Whether librdkafka knows a name
 * is settings_load.c's to ask. Pure. */
#ifndef CHAT_SETTINGS_KAFKA_PROPERTIES_H
#define CHAT_SETTINGS_KAFKA_PROPERTIES_H

#include "base/error.h"
#include "settings/settings.h"

/* FAILED: the property can only be what the worker needs; the message begins with where. */
enum status kafka_properties_set(struct settings *settings, const char *name, const char *value, const char *where, struct error *err) MUST_CHECK;
void kafka_properties_free(struct settings *settings);

#endif
