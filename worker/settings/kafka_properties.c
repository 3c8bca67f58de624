#include "settings/kafka_properties.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "settings/settings_source.h"

/* Properties on which the guarantees depend. */
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

enum status kafka_properties_set(struct settings *settings, const char *name, const char *value, const char *where, struct error *err)
{
    bool fixed;
    if (check_fixed(name, value, where, &fixed, err) != STATUS_OK)
        return STATUS_FAILED;
    if (fixed)
        return STATUS_OK; /* set where the client is made */
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

void kafka_properties_free(struct settings *settings)
{
    for (size_t i = 0; i < settings->kafka.property_count; i++) {
        free(settings->kafka.properties[i].name);
        free(settings->kafka.properties[i].value);
        free(settings->kafka.properties[i].where);
    }
    free(settings->kafka.properties);
    free(settings->kafka.bootstrap_servers);
    free(settings->kafka.group_id);
    free(settings->kafka.group_instance_id);
}
