#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/template.h"
#include "settings/reserved_params.h"
#include "settings/settings_source.h"
#include "settings/settings_table.h"

/* ---- named sections ---- */

static bool find_named(const struct named_sections *named, const struct settings *settings, const char *name, size_t *ret)
{
    for (*ret = 0; *ret < named_sections_size(named, settings); (*ret)++)
        if (strcmp(named_sections_name(named, settings, *ret), name) == 0)
            return true;
    return false;
}

static void swap_items(char *a, char *b, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char byte = a[i];
        a[i] = b[i];
        b[i] = byte;
    }
}

/* Brings those that llm.KEY names to the front, in its order: an index says then who is asked, and when. */
static enum status order_named(const struct named_sections *named, struct settings *settings, char *const *names, const char *key, const char *what,
                               const char *where, size_t *ret_count, struct error *err)
{
    for (*ret_count = 0; names[*ret_count] != NULL; (*ret_count)++) {
        size_t found, place = *ret_count;
        if (!find_named(named, settings, names[place], &found))
            return REFUSE(err, "%s: llm.%s: there is no section [%s.%s]; add it with %s", where, key, named->section, names[place], what);
        if (found < place)
            return REFUSE(err, "%s: llm.%s: names %s twice", where, key, names[place]);
        if (found != place)
            swap_items(named_sections_item(named, settings, place), named_sections_item(named, settings, found), named->item_size);
    }
    return STATUS_OK;
}

/* ---- providers ---- */

#define PROVIDER (&named_sections[0])
#define CONTEXT (&named_sections[1])

static enum status check_params(const struct provider_settings *provider, const char *where, struct error *err)
{
    json_error_t why;
    if (provider->params == NULL)
        return STATUS_OK;
    AUTO_JSON json_t *params = json_loads(provider->params, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(params))
        return REFUSE(err, "%s: provider.%s.params: is no JSON object%s%s", where, provider->name, params ? "" : ": ", params ? "" : why.text);
    if (json_object_get(params, "stream") != NULL)
        return REFUSE(err, "%s: provider.%s.params: stream is the worker's to set; provider.%s.stream says how it is asked", where, provider->name, provider->name);
    for (const char *const *name = reserved_params; *name != NULL; name++)
        if (json_object_get(params, *name) != NULL)
            return REFUSE(err, "%s: provider.%s.params: %s is the worker's to set; leave it out", where, provider->name, *name);
    return STATUS_OK;
}

static enum status check_headers(struct provider_settings *provider, const char *where, struct error *err)
{
    char why[160];
    if (provider->headers == NULL || provider_headers_read(provider->headers, provider->api_key != NULL, &provider->sent_headers, why) == STATUS_OK)
        return STATUS_OK;
    return REFUSE(err, "%s: provider.%s.headers: %s", where, provider->name, why);
}

/* What goes into a request's line or headers must not be able to end them. */
static bool has_control(const char *text)
{
    for (; text != NULL && *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    return false;
}

/* White space around a key is none of it, as around any header's value (RFC 9110, 5.5): servers take it off, and echo what is left, which is to
 * be known then as the secret. Nothing left: there is no key. */
static void trim_key(char **key)
{
    if (*key == NULL)
        return;
    size_t before = strspn(*key, " \t"), size = strlen(*key + before);
    while (size > 0 && ((*key)[before + size - 1] == ' ' || (*key)[before + size - 1] == '\t'))
        size--;
    char *trimmed = size > 0 ? xmemdup0(*key + before, size) : NULL;
    free(*key);
    *key = trimmed;
}

static const char *after_scheme(const char *url)
{
    return strncmp(url, "http://", 7) == 0 ? url + 7 : strncmp(url, "https://", 8) == 0 ? url + 8 : NULL;
}

static enum status check_provider(struct provider_settings *provider, const struct settings_entries *entries, struct error *err)
{
    AUTO_FREE char *section = xasprintf("provider.%s", provider->name);
    if (provider->url == NULL || provider->model == NULL)
        return REFUSE(err, "%s.%s: is needed; give it in [%s], by variable or -X", section, provider->url ? "model" : "url", section);
    const char *where = settings_entries_where(entries, section, "url");
    const char *host = after_scheme(provider->url);
    if (host == NULL)
        return REFUSE(err, "%s: %s.url: begins with neither http:// nor https://", where, section);
    if (*host == '\0' || *host == '/' || has_control(host) || strpbrk(host, " ?#{}") != NULL)
        return REFUSE(err, "%s: %s.url: must be http(s)://host[:port][/path], without spaces, ?, # or { } (nothing is filled in here)", where, section);
    for (size_t n = strlen(provider->url); provider->url[n - 1] == '/'; n--)
        provider->url[n - 1] = '\0';
    trim_key(&provider->api_key);
    if (has_control(provider->api_key))
        return REFUSE(err, "%s: %s.api_key: holds a line break or another control character", settings_entries_where(entries, section, "api_key"), section);
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    if (provider->api_version != NULL && strspn(provider->api_version, plain) != strlen(provider->api_version))
        return REFUSE(err, "%s: %s.api_version: holds something else than letters, digits and - . _ ~", settings_entries_where(entries, section, "api_version"), section);
    if (check_headers(provider, settings_entries_where(entries, section, "headers"), err) != STATUS_OK)
        return STATUS_FAILED;
    return check_params(provider, settings_entries_where(entries, section, "params"), err);
}

static enum status check_fallback(struct settings *settings, const char *key, const char *name, const struct settings_entries *entries, struct error *err)
{
    size_t found;
    if (name == NULL || find_named(PROVIDER, settings, name, &found))
        return STATUS_OK;
    return REFUSE(err, "%s: llm.%s: there is no section [provider.%s]; add it with url and model", settings_entries_where(entries, "llm", key), key, name);
}

static enum status check_providers(struct settings *settings, const struct settings_entries *entries, struct error *err)
{
    const char *where = settings_entries_where(entries, "llm", "providers");
    if (settings->llm.providers[0] == NULL)
        return REFUSE(err, "%s: llm.providers: names no provider", where);
    if (settings->provider_count > PROVIDERS_MAX)
        return REFUSE(err, "%s: [provider.NAME]: there are %zu sections, at most %d are possible", where, settings->provider_count, PROVIDERS_MAX);
    if (order_named(PROVIDER, settings, settings->llm.providers, "providers", "url and model", where, &settings->asked_count, err) != STATUS_OK ||
        check_fallback(settings, "overflow_provider", settings->llm.overflow_provider, entries, err) != STATUS_OK ||
        check_fallback(settings, "filter_provider", settings->llm.filter_provider, entries, err) != STATUS_OK)
        return STATUS_FAILED;
    for (size_t i = 0; i < settings->provider_count; i++)
        if (check_provider(&settings->providers[i], entries, err) != STATUS_OK)
            return STATUS_FAILED;
    return STATUS_OK;
}

/* ---- contexts ---- */

/* A placeholder within the host would let a job say where its texts come from. */
static enum status check_context_url(const char *url, const char *section, const char *where, struct error *err)
{
    static const char *const names[] = {"session", "user", "job"};
    const char *host = after_scheme(url);
    if (host == NULL)
        return REFUSE(err, "%s: %s.url: begins with neither http:// nor https://", where, section);
    const char *at = host + strcspn(host, "/?");
    if (at == host || has_control(host) || strpbrk(host, " #") != NULL || memchr(host, '{', (size_t)(at - host)) != NULL)
        return REFUSE(err, "%s: %s.url: must be http(s)://host[:port][/path][?query], without spaces and #, and placeholders only behind the host", where, section);
    for (struct template_part part; template_next(&at, &part);) {
        bool known = false;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            known = known || template_part_is(&part, names[i]);
        if (part.is_name ? !known : memchr(part.text, '{', part.size) != NULL || memchr(part.text, '}', part.size) != NULL)
            return REFUSE(err, "%s: %s.url: {%.*s} can't be filled in; there are {session}, {user} and {job}", where, section,
                          part.is_name ? (int)part.size : 0, part.text);
    }
    return STATUS_OK;
}

static enum status check_context(struct context_settings *context, const struct settings_entries *entries, struct error *err)
{
    AUTO_FREE char *section = xasprintf("context.%s", context->name);
    if (context->url == NULL)
        return REFUSE(err, "%s.url: is needed; give it in [%s], by variable or -X", section, section);
    if (!template_is_name(context->name))
        return REFUSE(err, "%s: [%s]: the name can't stand in llm.context_prompt; use a-z A-Z 0-9 . _ -", settings_entries_where(entries, section, "url"), section);
    trim_key(&context->api_key);
    if (has_control(context->api_key))
        return REFUSE(err, "%s: %s.api_key: holds a line break or another control character", settings_entries_where(entries, section, "api_key"), section);
    return check_context_url(context->url, section, settings_entries_where(entries, section, "url"), err);
}

/* Bytes that can't stand in a request. */
static enum status check_utf8(const char *text, const char *key, const struct settings_entries *entries, struct error *err)
{
    AUTO_JSON json_t *checked = text != NULL ? json_string(text) : json_null();
    return checked != NULL ? STATUS_OK : REFUSE(err, "%s: llm.%s: is not UTF-8", settings_entries_where(entries, "llm", key), key);
}

/* A name that nothing fills in would go to the model as it stands. */
static enum status check_context_prompt(const struct settings *settings, const struct settings_entries *entries, struct error *err)
{
    const char *at = settings->llm.context_prompt;
    for (struct template_part part; at != NULL && template_next(&at, &part);) {
        bool known = !part.is_name;
        for (size_t i = 0; !known && i < settings->fetched_count; i++)
            known = settings->contexts[i].kind == CONTEXT_TEXT && template_part_is(&part, settings->contexts[i].name);
        if (!known)
            return REFUSE(err, "%s: llm.context_prompt: {%.*s} names none of llm.contexts that brings a text", settings_entries_where(entries, "llm", "context_prompt"),
                          part.size > 40 ? 40 : (int)part.size, part.text);
    }
    return STATUS_OK;
}

static enum status check_contexts(struct settings *settings, const struct settings_entries *entries, struct error *err)
{
    const char *where = settings_entries_where(entries, "llm", "contexts");
    if (settings->context_count > CONTEXTS_MAX)
        return REFUSE(err, "%s: [context.NAME]: there are %zu sections, at most %d are possible", where, settings->context_count, CONTEXTS_MAX);
    if (check_utf8(settings->llm.system_prompt, "system_prompt", entries, err) != STATUS_OK ||
        check_utf8(settings->llm.context_prompt, "context_prompt", entries, err) != STATUS_OK)
        return STATUS_FAILED;
    if (order_named(CONTEXT, settings, settings->llm.contexts, "contexts", "url", where, &settings->fetched_count, err) != STATUS_OK)
        return STATUS_FAILED;
    for (size_t i = 0; i < settings->context_count; i++)
        if (check_context(&settings->contexts[i], entries, err) != STATUS_OK)
            return STATUS_FAILED;
    return check_context_prompt(settings, entries, err);
}

/* ---- the rest ---- */

/* What has a default has it because the worker can't do without: giving it empty is a mistake. */
static enum status check_not_empty(const struct settings *settings, const struct settings_entries *entries, struct error *err)
{
    for (size_t i = 0; i < settings_table_count; i++) {
        const struct setting *setting = &settings_table[i];
        if (setting->type != SETTING_TEXT || setting->initial == NULL || setting->may_be_empty || named_sections_of(setting))
            continue;
        if (*(char *const *)((const char *)settings + setting->at) == NULL)
            return REFUSE(err, "%s: %s.%s: can't be empty; leave it out for %s", settings_entries_where(entries, setting->section, setting->key),
                          setting->section, setting->key, setting->initial);
    }
    return STATUS_OK;
}

/* Kafka's own rule for names. */
static enum status check_topic(const char *topic, const char *key, const struct settings_entries *entries, struct error *err)
{
    static const char valid[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t length = strlen(topic);
    if (length <= 249 && strspn(topic, valid) == length && strcmp(topic, ".") != 0 && strcmp(topic, "..") != 0)
        return STATUS_OK;
    return REFUSE(err, "%s: worker.%s: \"%.40s\" is no topic's name: 1 to 249 of a-z A-Z 0-9 . _ -", settings_entries_where(entries, "worker", key), key, topic);
}

/* What is on the others says nothing that is to be done. */
static enum status check_control_topic(const struct settings *settings, const struct settings_entries *entries, struct error *err)
{
    const char *const others[][2] = {{settings->worker.jobs_topic, "jobs_topic"}, {settings->worker.replies_topic, "replies_topic"},
                                     {settings->worker.dead_topic, "dead_topic"}, {settings->worker.deltas_topic, "deltas_topic"}};
    const char *topic = settings->worker.control_topic;
    if (topic == NULL)
        return STATUS_OK;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(topic, others[i][0]) == 0)
            return REFUSE(err, "%s: worker.control_topic: must differ from worker.%s (%s)", settings_entries_where(entries, "worker", "control_topic"),
                          others[i][1], settings_entries_where(entries, "worker", others[i][1]));
    return check_topic(topic, "control_topic", entries, err);
}

/* Replies among the jobs would be dead letters without end; control records are the workers' own. */
static enum status check_reply_topic(const char *topic, const struct settings *settings, const struct settings_entries *entries, struct error *err)
{
    const char *const refused[][2] = {{settings->worker.jobs_topic, "jobs_topic"}, {settings->worker.control_topic, "control_topic"}};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (refused[i][0] != NULL && strcmp(topic, refused[i][0]) == 0)
            return REFUSE(err, "%s: worker.reply_topics_allowed: must not name worker.%s (%s)", settings_entries_where(entries, "worker", "reply_topics_allowed"),
                          refused[i][1], topic);
    return check_topic(topic, "reply_topics_allowed", entries, err);
}

static enum status check_topics(const struct settings *settings, const struct settings_entries *entries, struct error *err)
{
    if (check_topic(settings->worker.jobs_topic, "jobs_topic", entries, err) != STATUS_OK ||
        check_topic(settings->worker.replies_topic, "replies_topic", entries, err) != STATUS_OK ||
        check_topic(settings->worker.dead_topic, "dead_topic", entries, err) != STATUS_OK ||
        check_topic(settings->worker.deltas_topic, "deltas_topic", entries, err) != STATUS_OK ||
        check_control_topic(settings, entries, err) != STATUS_OK)
        return STATUS_FAILED;
    for (char *const *topic = settings->worker.reply_topics_allowed; *topic != NULL; topic++)
        if (check_reply_topic(*topic, settings, entries, err) != STATUS_OK)
            return STATUS_FAILED;
    /* Each dead letter would come back as a job, and make the next. */
    const struct {
        const char *topic, *key;
    } others[] = {{settings->worker.replies_topic, "replies_topic"}, {settings->worker.dead_topic, "dead_topic"}, {settings->worker.deltas_topic, "deltas_topic"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const char *key = others[i].key;
        if (strcmp(settings->worker.jobs_topic, others[i].topic) != 0)
            continue;
        return REFUSE(err, "%s: worker.%s: must differ from worker.jobs_topic (%s)", settings_entries_where(entries, "worker", key), key,
                      settings_entries_where(entries, "worker", "jobs_topic"));
    }
    return STATUS_OK;
}

/* ---- redis ---- */

/* A claim's begin, a renewal under way when the claim is due, and the claim's own renewal may take a time-out each (engine/renewer.h). */
static enum status check_redis(struct settings *settings, const struct settings_entries *entries, struct error *err)
{
    const char *where = settings_entries_where(entries, "redis", "timeout_ms");
    int64_t most_ms = settings->redis.lease_ms / 3;
    if (settings->redis.timeout_ms <= most_ms)
        return STATUS_OK;
    if (strcmp(where, "default") != 0)
        return REFUSE(err, "%s: redis.timeout_ms: %lld is above a third of redis.lease_ms (%lld): a claim would run out while its renewal may still be answered, and another worker would pay for its job as well; at most %lld, or redis.lease_ms of at least %lld",
                      where, (long long)settings->redis.timeout_ms, (long long)settings->redis.lease_ms, (long long)most_ms, (long long)settings->redis.timeout_ms * 3);
    settings->redis.timeout_ms = most_ms;
    return STATUS_OK;
}

/* ---- delivery ---- */

static int64_t number_of(const struct settings *settings, const char *property, int64_t otherwise)
{
    const char *text = settings_kafka_property(settings, property);
    return text ? strtoll(text, NULL, 10) : otherwise; /* librdkafka refuses what is no number */
}

/* What would undo the transactions' guarantee. */
static enum status check_exactly_once(const struct settings *settings, const struct settings_entries *entries, struct error *err)
{
    static const char *const message_timeouts[] = {"message.timeout.ms", "delivery.timeout.ms"};
    const char *isolation = settings_kafka_property(settings, "isolation.level");
    int64_t timeout_ms = number_of(settings, "transaction.timeout.ms", KAFKA_TRANSACTION_TIMEOUT_MS);
    if (strcmp(settings->kafka.bootstrap_servers, "embedded") == 0)
        return REFUSE(err, "%s: worker.delivery: exactly-once needs a real Kafka: the embedded one doesn't hide what was aborted; give kafka.bootstrap.servers, or use at-least-once",
                      settings_entries_where(entries, "worker", "delivery"));
    if (isolation != NULL && strcmp(isolation, "read_committed") != 0)
        return REFUSE(err, "%s: kafka.isolation.level: can only be read_committed with worker.delivery = exactly-once: what may yet be aborted must not be read; leave it out",
                      settings_entries_where(entries, "kafka", "isolation.level"));
    for (size_t i = 0; i < sizeof message_timeouts / sizeof *message_timeouts; i++) {
        int64_t message_ms = number_of(settings, message_timeouts[i], timeout_ms);
        if (message_ms <= 0 || message_ms > timeout_ms)
            return REFUSE(err, "%s: kafka.%s: must be from 1 to transaction.timeout.ms (%lld) with worker.delivery = exactly-once; leave it out",
                          settings_entries_where(entries, "kafka", message_timeouts[i]), message_timeouts[i], (long long)timeout_ms);
    }
    if (settings->worker.transaction_ms > timeout_ms / 2)
        return REFUSE(err, "%s: worker.transaction_ms: %lld is above half of kafka.transaction.timeout.ms (%lld): the broker would abort what is still gathering; lower it",
                      settings_entries_where(entries, "worker", "transaction_ms"), (long long)settings->worker.transaction_ms, (long long)timeout_ms);
    return STATUS_OK;
}

static enum status check_delivery(const struct settings *settings, const struct settings_entries *entries, struct error *err)
{
    if (settings_kafka_property(settings, "transactional.id") != NULL)
        return REFUSE(err, "%s: kafka.transactional.id: is the worker's to set, from group.id and group.instance.id; leave it out, and choose worker.delivery",
                      settings_entries_where(entries, "kafka", "transactional.id"));
    return settings->worker.delivery == DELIVERY_EXACTLY_ONCE ? check_exactly_once(settings, entries, err) : STATUS_OK;
}

enum status settings_check(struct settings *settings, const struct settings_entries *entries, struct error *err)
{
    if (settings->kafka.bootstrap_servers == NULL)
        return REFUSE(err, "kafka.bootstrap.servers: is needed: host:port of your brokers, or \"embedded\" to try things out in memory");
    if (settings->kafka.group_id == NULL)
        return REFUSE(err, "%s: kafka.group.id: can't be empty; leave it out for chat-worker", settings_entries_where(entries, "kafka", "group.id"));
    if (check_not_empty(settings, entries, err) != STATUS_OK || check_topics(settings, entries, err) != STATUS_OK ||
        check_redis(settings, entries, err) != STATUS_OK || check_delivery(settings, entries, err) != STATUS_OK)
        return STATUS_FAILED;
    return check_providers(settings, entries, err) == STATUS_OK ? check_contexts(settings, entries, err) : STATUS_FAILED;
}
