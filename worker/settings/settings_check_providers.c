#include <jansson.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "settings/reserved_params.h"
#include "settings/settings_check.h"

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

static enum status check_provider(struct provider_settings *provider, const struct settings_entries *entries, struct error *err)
{
    AUTO_FREE char *section = xasprintf("provider.%s", provider->name);
    if (provider->url == NULL || provider->model == NULL)
        return REFUSE(err, "%s.%s: is needed; give it in [%s], by variable or -X", section, provider->url ? "model" : "url", section);
    const char *where = settings_entries_where(entries, section, "url");
    const char *host = settings_check_after_scheme(provider->url);
    if (host == NULL)
        return REFUSE(err, "%s: %s.url: begins with neither http:// nor https://", where, section);
    if (*host == '\0' || *host == '/' || settings_check_has_control(host) || strpbrk(host, " ?#{}") != NULL)
        return REFUSE(err, "%s: %s.url: must be http(s)://host[:port][/path], without spaces, ?, # or { } (nothing is filled in here)", where, section);
    for (size_t n = strlen(provider->url); provider->url[n - 1] == '/'; n--)
        provider->url[n - 1] = '\0';
    settings_check_trim_key(&provider->api_key);
    if (settings_check_has_control(provider->api_key))
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
    if (name == NULL || settings_check_named(SETTINGS_PROVIDERS, settings, name, &found))
        return STATUS_OK;
    return REFUSE(err, "%s: llm.%s: there is no section [provider.%s]; add it with url and model", settings_entries_where(entries, "llm", key), key, name);
}

enum status settings_check_providers(struct settings *settings, const struct settings_entries *entries, struct error *err)
{
    const char *where = settings_entries_where(entries, "llm", "providers");
    if (settings->llm.providers[0] == NULL)
        return REFUSE(err, "%s: llm.providers: names no provider", where);
    if (settings->provider_count > PROVIDERS_MAX)
        return REFUSE(err, "%s: [provider.NAME]: there are %zu sections, at most %d are possible", where, settings->provider_count, PROVIDERS_MAX);
    if (settings_check_order(SETTINGS_PROVIDERS, settings, settings->llm.providers, "providers", "url and model", where, &settings->asked_count, err) != STATUS_OK ||
        check_fallback(settings, "overflow_provider", settings->llm.overflow_provider, entries, err) != STATUS_OK ||
        check_fallback(settings, "filter_provider", settings->llm.filter_provider, entries, err) != STATUS_OK)
        return STATUS_FAILED;
    for (size_t i = 0; i < settings->provider_count; i++)
        if (check_provider(&settings->providers[i], entries, err) != STATUS_OK)
            return STATUS_FAILED;
    return STATUS_OK;
}
