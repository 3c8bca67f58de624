#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/settings_table.h"

#define LINE_BYTES_MAX 199 /* inih's INI_MAX_LINE in Debian, less its end */

#define REFUSE(err, ...) error_set((err), ERROR_PERMANENT, "settings", __VA_ARGS__)

/* ---- one value, from wherever ---- */

static struct provider_settings *provider_of(struct settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->provider_count; i++)
        if (strcmp(settings->providers[i].name, name) == 0)
            return &settings->providers[i];
    settings->providers = xrealloc(settings->providers, (settings->provider_count + 1) * sizeof *settings->providers);
    struct provider_settings *fresh = &settings->providers[settings->provider_count++];
    *fresh = (struct provider_settings){.name = xstrdup(name)};
    return fresh;
}

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
    long long number = strtoll(value, &end, 10);
    if (*value == '\0' || *end != '\0' || errno != 0 || number < setting->min || number > setting->max)
        return REFUSE(err, "%s: %s.%s: \"%.40s\" is no whole number from %lld to %lld%s%s", where, section, setting->key, value,
                      (long long)setting->min, (long long)setting->max, *setting->unit ? " " : "", setting->unit);
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
    return REFUSE(err, "%s: %s.%s: \"%.40s\" is not available; valid: %s", where, section, setting->key, value, all);
}

static enum status store(struct settings *settings, const struct setting *setting, const char *section, const char *value,
                         const char *where, struct error *err)
{
    char *base = (char *)settings;
    if (strcmp(setting->section, "provider") == 0)
        base = (char *)provider_of(settings, section + strlen("provider."));
    void *field = setting->at == NO_FIELD ? NULL : base + setting->at;
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

static enum status read_secret(const char *path, const char *where, const char *section, const char *key, char **ret, struct error *err)
{
    FILE *in = fopen(path, "re");
    char text[65536];
    if (in == NULL)
        return REFUSE(err, "%s: %s.%s: %s can't be read: %s", where, section, key, path, strerror(errno));
    size_t size = fread(text, 1, sizeof text - 1, in);
    fclose(in);
    text[size] = '\0';
    if (size > 0 && text[size - 1] == '\n')
        text[--size] = '\0';
    if (size > 0 && text[size - 1] == '\r')
        text[size - 1] = '\0';
    *ret = xstrdup(text);
    return STATUS_OK;
}

static enum status set_kafka(struct settings *settings, const char *name, const char *value, const char *where, struct error *err)
{
    static const struct {
        const char *name, *allowed[3], *why;
    } fixed[] = {{"enable.auto.commit", {"false", NULL}, "the worker commits what is done"},
                 {"enable.auto.offset.store", {"false", NULL}, "the worker commits what is done"},
                 {"acks", {"all", "-1", NULL}, "a reply must be on all replicas before its offset is done"},
                 {"request.required.acks", {"all", "-1", NULL}, "a reply must be on all replicas before its offset is done"},
                 {"enable.idempotence", {"true", NULL}, "a producer's own retry must not repeat a reply"}};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        if (strcmp(name, fixed[i].name) != 0)
            continue;
        for (int j = 0; fixed[i].allowed[j] != NULL; j++)
            if (strcmp(value, fixed[i].allowed[j]) == 0)
                return STATUS_OK;
        return REFUSE(err, "%s: kafka.%s: can only be %s here: %s; leave it out", where, name, fixed[i].allowed[0], fixed[i].why);
    }
    char **own = strcmp(name, "bootstrap.servers") == 0 || strcmp(name, "metadata.broker.list") == 0 ? &settings->kafka.bootstrap_servers
                 : strcmp(name, "group.id") == 0                                                   ? &settings->kafka.group_id
                                                                                                   : NULL;
    if (own != NULL) {
        free(*own);
        *own = *value ? xstrdup(value) : NULL;
        return STATUS_OK;
    }
    if (strcmp(name, "group.instance.id") == 0) {
        free(settings->kafka.group_instance_id);
        settings->kafka.group_instance_id = xstrdup(value);
    }
    for (size_t i = 0; i < settings->kafka.property_count; i++) {
        struct kafka_property *property = &settings->kafka.properties[i];
        if (strcmp(property->name, name) == 0) {
            free(property->value);
            property->value = xstrdup(value);
            return STATUS_OK;
        }
    }
    settings->kafka.properties = xrealloc(settings->kafka.properties, (settings->kafka.property_count + 1) * sizeof *settings->kafka.properties);
    settings->kafka.properties[settings->kafka.property_count++] = (struct kafka_property){xstrdup(name), xstrdup(value)};
    return STATUS_OK;
}

/* "x_file" where x is a secret; *ret_plain: x's length. */
static bool is_file_twin(const char *section, const char *key, char plain[64])
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

static enum status set(struct settings *settings, const char *section, const char *key, const char *value, const char *where, struct error *err)
{
    char plain[64];
    AUTO_FREE char *secret = NULL;
    if (is_file_twin(section, key, plain)) {
        if (read_secret(value, where, section, key, &secret, err) != STATUS_OK)
            return STATUS_FAILED;
        key = plain;
        value = secret;
    }
    if (strcmp(section, "kafka") == 0)
        return set_kafka(settings, key, value, where, err);
    const struct setting *setting = setting_find(section, key);
    if (setting != NULL && (strcmp(setting->section, "provider") != 0 || section[strlen("provider.")] != '\0'))
        return store(settings, setting, section, value, where, err);
    const char *nearest = setting_nearest(section, key);
    if (nearest != NULL)
        return REFUSE(err, "%s: %s.%s is unknown; do you mean %s?", where, section, key, nearest);
    return REFUSE(err, "%s: %s.%s is unknown; chat-worker --help lists the settings", where, *section ? section : "(no section)", key);
}

/* ---- the three sources ---- */

struct file_source {
    struct settings *settings;
    struct error *err;
    FILE *in;
    const char *path;
    int line;
    bool failed;
};

/* inih would split an overlong line in two; here it is refused. */
static char *read_line(char *text, int size, void *arg)
{
    struct file_source *source = arg;
    if (source->failed || fgets(text, size, source->in) == NULL)
        return NULL;
    source->line++;
    size_t length = strlen(text);
    if (length + 1 == (size_t)size && text[length - 1] != '\n') {
        source->failed = true;
        REFUSE(source->err, "%s:%d: the line is longer than %d characters; put long values into a file (KEY_file) or the environment",
               source->path, source->line, LINE_BYTES_MAX);
        return NULL;
    }
    return text;
}

static int take_pair(void *arg, const char *section, const char *key, const char *value)
{
    struct file_source *source = arg;
    AUTO_FREE char *where = xasprintf("%s:%d", source->path, source->line);
    if (!source->failed && set(source->settings, section, key, value ? value : "", where, source->err) != STATUS_OK)
        source->failed = true;
    return 1;
}

static enum status load_file(struct settings *settings, const char *path, struct error *err)
{
    struct file_source source = {.settings = settings, .err = err, .path = path, .in = fopen(path, "re")};
    if (source.in == NULL)
        return REFUSE(err, "%s: can't be read: %s", path, strerror(errno));
    int rc = ini_parse_stream(read_line, &source, take_pair, &source);
    fclose(source.in);
    if (source.failed)
        return STATUS_FAILED;
    if (rc != 0)
        return REFUSE(err, "%s:%d: neither [section] nor key = value", path, rc);
    return STATUS_OK;
}

/* CHATW__SECTION__KEY; CHATW__PROVIDER__NAME__KEY; in [kafka] a single _ stands for a dot. */
static enum status load_variable(struct settings *settings, const char *variable, struct error *err)
{
    const char *equals = strchr(variable, '=');
    AUTO_FREE char *name = xmemdup0(variable, (size_t)(equals - variable));
    AUTO_FREE char *lower = xstrdup(name + strlen("CHATW__"));
    for (char *c = lower; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    char *key = strstr(lower, "__");
    if (key == NULL)
        return REFUSE(err, "%s: is no CHATW__SECTION__KEY", name);
    *key = '\0';
    key += 2;
    AUTO_FREE char *section = NULL;
    if (strcmp(lower, "provider") == 0) {
        char *after = strstr(key, "__");
        if (after == NULL)
            return REFUSE(err, "%s: is no CHATW__PROVIDER__NAME__KEY", name);
        *after = '\0';
        section = xasprintf("provider.%s", key);
        key = after + 2;
    } else {
        section = xstrdup(lower);
    }
    if (strcmp(section, "kafka") == 0) {
        size_t length = strlen(key);
        size_t end = length > 5 && strcmp(key + length - 5, "_file") == 0 ? length - 5 : length;
        for (size_t i = 0; i < end; i++)
            if (key[i] == '_')
                key[i] = '.';
    }
    return set(settings, section, key, equals + 1, name, err);
}

static enum status load_override(struct settings *settings, const char *override, struct error *err)
{
    const char *equals = strchr(override, '=');
    AUTO_FREE char *name = xmemdup0(override, equals ? (size_t)(equals - override) : strlen(override));
    /* [provider.NAME]: the section has a dot of its own. */
    char *dot = strchr(name, '.');
    if (dot != NULL && strncmp(name, "provider.", 9) == 0)
        dot = strchr(dot + 1, '.');
    if (equals == NULL || dot == NULL)
        return REFUSE(err, "-X %.80s: is no section.key=value", name);
    AUTO_FREE char *where = xasprintf("-X %s", name);
    *dot = '\0';
    return set(settings, name, dot + 1, equals + 1, where, err);
}

/* ---- what must hold across settings ---- */

static enum status set_defaults(struct settings *settings, const char *section, struct error *err)
{
    for (size_t i = 0; i < settings_table_count; i++) {
        const struct setting *setting = &settings_table[i];
        bool provider = strcmp(setting->section, "provider") == 0;
        if (setting->initial == NULL || provider != (section != NULL))
            continue;
        if (store(settings, setting, section ? section : setting->section, setting->initial, "default", err) != STATUS_OK)
            return STATUS_FAILED;
    }
    return STATUS_OK;
}

static enum status check_params(const struct provider_settings *provider, struct error *err)
{
    static const char *const ours[] = {"messages", "stream", "stream_options", "n"};
    json_error_t why;
    if (provider->params == NULL)
        return STATUS_OK;
    AUTO_JSON json_t *params = json_loads(provider->params, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(params))
        return REFUSE(err, "provider.%s.params: is no JSON object%s%s", provider->name, params ? "" : ": ", params ? "" : why.text);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (json_object_get(params, ours[i]) != NULL)
            return REFUSE(err, "provider.%s.params: %s is the worker's to set; leave it out", provider->name, ours[i]);
    return STATUS_OK;
}

static enum status check_provider(struct provider_settings *provider, struct error *err)
{
    if (provider->url == NULL || provider->model == NULL)
        return REFUSE(err, "provider.%s.%s: is needed", provider->name, provider->url ? "model" : "url");
    if (strncmp(provider->url, "http://", 7) != 0 && strncmp(provider->url, "https://", 8) != 0)
        return REFUSE(err, "provider.%s.url: begins with neither http:// nor https://", provider->name);
    for (size_t n = strlen(provider->url); n > 8 && provider->url[n - 1] == '/'; n--)
        provider->url[n - 1] = '\0';
    return check_params(provider, err);
}

static enum status check_whole(struct settings *settings, struct error *err)
{
    if (settings->kafka.bootstrap_servers == NULL)
        return REFUSE(err, "kafka.bootstrap.servers: is needed: host:port of your brokers, or \"embedded\" to try things out in memory");
    if (settings->kafka.group_id == NULL)
        settings->kafka.group_id = xstrdup("chat-worker");
    if (settings->redis.url == NULL || settings->redis.key_prefix == NULL || settings->admin.listen == NULL || settings->worker.jobs_topic == NULL ||
        settings->worker.replies_topic == NULL || settings->worker.dead_topic == NULL)
        return REFUSE(err, "redis.url, redis.key_prefix, admin.listen and the topics can't be empty");
    for (size_t i = 0; i < settings->provider_count; i++)
        if (check_provider(&settings->providers[i], err) != STATUS_OK)
            return STATUS_FAILED;
    if (settings->llm.providers[0] == NULL)
        return REFUSE(err, "llm.providers: names no provider");
    if (settings->llm.providers[1] != NULL)
        return REFUSE(err, "llm.providers: names more than one; this version asks one provider");
    if (settings_provider(settings, 0) == NULL)
        return REFUSE(err, "llm.providers: there is no section [provider.%s]; add it with url and model", settings->llm.providers[0]);
    return STATUS_OK;
}

/* Sections of providers, whichever source names them, get their defaults before any value is read. */
static enum status load_all(struct settings *settings, const struct settings_sources *sources, struct error *err)
{
    if (sources->file != NULL && load_file(settings, sources->file, err) != STATUS_OK)
        return STATUS_FAILED;
    for (char *const *variable = sources->environment; variable != NULL && *variable != NULL; variable++)
        if (strncmp(*variable, "CHATW__", 7) == 0 && load_variable(settings, *variable, err) != STATUS_OK)
            return STATUS_FAILED;
    for (const char *const *override = sources->overrides; override != NULL && *override != NULL; override++)
        if (load_override(settings, *override, err) != STATUS_OK)
            return STATUS_FAILED;
    return STATUS_OK;
}

enum status settings_load(const struct settings_sources *sources, struct settings **ret, struct error *err)
{
    struct settings *names = xcalloc(1, sizeof *names);
    struct settings *settings = xcalloc(1, sizeof *settings);
    /* Read twice: first to learn which providers there are. */
    enum status status = load_all(names, sources, err);
    if (status == STATUS_OK)
        status = set_defaults(settings, NULL, err);
    for (size_t i = 0; i < names->provider_count && status == STATUS_OK; i++) {
        AUTO_FREE char *section = xasprintf("provider.%s", names->providers[i].name);
        status = set_defaults(settings, section, err);
    }
    settings_destroy(names);
    if (status == STATUS_OK)
        status = load_all(settings, sources, err);
    if (status == STATUS_OK)
        status = check_whole(settings, err);
    if (status != STATUS_OK) {
        settings_destroy(settings);
        return status;
    }
    *ret = settings;
    return STATUS_OK;
}

static void finish_fields(void *base, bool provider)
{
    for (size_t i = 0; i < settings_table_count; i++) {
        const struct setting *setting = &settings_table[i];
        if ((strcmp(setting->section, "provider") == 0) != provider || setting->at == NO_FIELD)
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
    finish_fields(settings, false);
    for (size_t i = 0; i < settings->provider_count; i++) {
        finish_fields(&settings->providers[i], true);
        free(settings->providers[i].name);
    }
    free(settings->providers);
    for (size_t i = 0; i < settings->kafka.property_count; i++) {
        free(settings->kafka.properties[i].name);
        free(settings->kafka.properties[i].value);
    }
    free(settings->kafka.properties);
    free(settings->kafka.bootstrap_servers);
    free(settings->kafka.group_id);
    free(settings->kafka.group_instance_id);
    free(settings);
}

void settings_warnings(const struct settings *settings, void (*warn)(const char *message, void *arg), void *arg)
{
    if (strcmp(settings->kafka.bootstrap_servers, "embedded") == 0)
        warn("kafka.bootstrap.servers = embedded: Kafka lives in this process's memory; everything is lost when it ends", arg);
    if (settings->worker.drain_timeout_ms < settings->llm.deadline_ms)
        warn("worker.drain_timeout_ms is below llm.deadline_ms: a drain may cut answers short, which are asked for again", arg);
}

const struct provider_settings *settings_provider(const struct settings *settings, size_t index)
{
    for (size_t i = 0; i <= index; i++)
        if (settings->llm.providers[i] == NULL)
            return NULL;
    for (size_t i = 0; i < settings->provider_count; i++)
        if (strcmp(settings->providers[i].name, settings->llm.providers[index]) == 0)
            return &settings->providers[i];
    return NULL;
}
