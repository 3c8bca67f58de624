#include "settings/settings_check.h"

#include <string.h>

#define TOKEN_BYTES_MAX 512 /* a browser brings it with a name, in base64: service/admin_request.c reads 1 KiB of them */

/* A setting has a default because the worker needs a value: an empty one is a mistake. */
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

/* An event loop must not wait for Redis. */
static enum status check_engine(const struct settings *settings, const struct settings_entries *entries, struct error *err)
{
    if (settings->worker.engine != ENGINE_LOOP || settings->worker.redis_io != REDIS_IO_PER_THREAD)
        return STATUS_OK;
    return REFUSE(err, "%s: worker.redis_io: can only be batched with worker.engine = loop: with per-thread each job's Redis calls would block its event loop, and all jobs on it; leave it out, or use worker.engine = threads",
                  settings_entries_where(entries, "worker", "redis_io"));
}

/* A token that no client could bring would lock everybody out, and nothing would say so. */
static enum status check_admin_token(struct settings *settings, const struct settings_entries *entries, struct error *err)
{
    settings_check_trim_key(&settings->admin.token);
    const char *token = settings->admin.token;
    if (settings_check_has_control(token))
        return REFUSE(err, "%s: admin.token: holds a line break or another control character", settings_entries_where(entries, "admin", "token"));
    if (token != NULL && strlen(token) > TOKEN_BYTES_MAX)
        return REFUSE(err, "%s: admin.token: is longer than %d bytes", settings_entries_where(entries, "admin", "token"), TOKEN_BYTES_MAX);
    return STATUS_OK;
}

enum status settings_check(struct settings *settings, const struct settings_entries *entries, struct error *err)
{
    if (settings->kafka.bootstrap_servers == NULL)
        return REFUSE(err, "kafka.bootstrap.servers: is needed: host:port of your brokers, or \"embedded\" to try things out in memory");
    if (settings->kafka.group_id == NULL)
        return REFUSE(err, "%s: kafka.group.id: can't be empty; leave it out for chat-worker", settings_entries_where(entries, "kafka", "group.id"));
    if (check_not_empty(settings, entries, err) != STATUS_OK || settings_check_topics(settings, entries, err) != STATUS_OK ||
        check_redis(settings, entries, err) != STATUS_OK || check_engine(settings, entries, err) != STATUS_OK ||
        check_admin_token(settings, entries, err) != STATUS_OK ||
        settings_check_delivery(settings, entries, err) != STATUS_OK)
        return STATUS_FAILED;
    return settings_check_providers(settings, entries, err) == STATUS_OK ? settings_check_contexts(settings, entries, err) : STATUS_FAILED;
}
