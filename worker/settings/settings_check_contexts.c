#include <jansson.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/template.h"
#include "settings/settings_check.h"

/* With a placeholder in the host a job could choose the server of its texts. */
static enum status check_context_url(const char *url, const char *section, const char *where, struct error *err)
{
    static const char *const names[] = {"session", "user", "job"};
    const char *host = settings_check_after_scheme(url);
    if (host == NULL)
        return REFUSE(err, "%s: %s.url: begins with neither http:// nor https://", where, section);
    const char *at = host + strcspn(host, "/?");
    if (at == host || settings_check_has_control(host) || strpbrk(host, " #") != NULL || memchr(host, '{', (size_t)(at - host)) != NULL)
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
    settings_check_trim_key(&context->api_key);
    if (settings_check_has_control(context->api_key))
        return REFUSE(err, "%s: %s.api_key: holds a line break or another control character", settings_entries_where(entries, section, "api_key"), section);
    return check_context_url(context->url, section, settings_entries_where(entries, section, "url"), err);
}

/* Refuses bytes that can't be in a request. */
static enum status check_utf8(const char *text, const char *key, const struct settings_entries *entries, struct error *err)
{
    AUTO_JSON json_t *checked = text != NULL ? json_string(text) : json_null();
    return checked != NULL ? STATUS_OK : REFUSE(err, "%s: llm.%s: is not UTF-8", settings_entries_where(entries, "llm", key), key);
}

/* An unknown {NAME} would be sent to the model unfilled. */
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

enum status settings_check_contexts(struct settings *settings, const struct settings_entries *entries, struct error *err)
{
    const char *where = settings_entries_where(entries, "llm", "contexts");
    if (settings->context_count > CONTEXTS_MAX)
        return REFUSE(err, "%s: [context.NAME]: there are %zu sections, at most %d are possible", where, settings->context_count, CONTEXTS_MAX);
    if (check_utf8(settings->llm.system_prompt, "system_prompt", entries, err) != STATUS_OK ||
        check_utf8(settings->llm.context_prompt, "context_prompt", entries, err) != STATUS_OK)
        return STATUS_FAILED;
    if (settings_check_order(SETTINGS_CONTEXTS, settings, settings->llm.contexts, "contexts", "url", where, &settings->fetched_count, err) != STATUS_OK)
        return STATUS_FAILED;
    for (size_t i = 0; i < settings->context_count; i++)
        if (check_context(&settings->contexts[i], entries, err) != STATUS_OK)
            return STATUS_FAILED;
    return check_context_prompt(settings, entries, err);
}
