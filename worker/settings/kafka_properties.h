/* Section [kafka]: librdkafka's properties, passed on unchanged, except those on which the worker's guarantees depend. settings_load.c checks whether
 * librdkafka knows a name. Pure. */
#ifndef CHAT_SETTINGS_KAFKA_PROPERTIES_H
#define CHAT_SETTINGS_KAFKA_PROPERTIES_H

#include "base/error.h"
#include "settings/settings.h"

/* FAILED: the property can only have the value that the worker needs; the message begins with where. */
enum status kafka_properties_set(struct settings *settings, const char *name, const char *value, const char *where, struct error *err) MUST_CHECK;
void kafka_properties_free(struct settings *settings);

#endif
