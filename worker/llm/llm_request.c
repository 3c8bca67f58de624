#include "llm/llm_request.h"

#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "settings/reserved_params.h"
#include "wire/history.h"
#include "wire/history_message.h"
#include "wire/history_turn.h"
#include "wire/json_member.h"
#include "wire/json_view.h"
#include "wire/json_writer.h"

/* Members that this file sets. A job's params can't contain them (job_decode refuses); a provider's may. */
static bool param_is_ours(const struct json_member *param)
{
    for (const char *const *name = reserved_params; *name != NULL; name++)
        if (json_member_is(param, *name))
            return true;
    return false;
}

/* Does object (may be none) have a member of the same name? */
static bool overrides(struct json_view object, const struct json_member *param)
{
    struct json_view name = {param->name - 1, param->name_size + 2};
    struct json_member own = {.at = object.text, .end = object.text + object.size};
    while (object.size > 0 && json_member_next(&own))
        if (json_view_compare((struct json_view){own.name - 1, own.name_size + 2}, name) == 0)
            return true;
    return false;
}

/* Copies an object's members that no member of `overriding` replaces. */
static void put_params(struct json_writer *out, struct json_view params, struct json_view overriding)
{
    struct json_member param = {.at = params.text, .end = params.text + params.size};
    while (params.size > 0 && json_member_next(&param))
        if (!param_is_ours(&param) && !overrides(overriding, &param))
            json_write_raw_member(out, param.name, param.name_size, param.value, param.value_size);
}

static void put_history(struct json_writer *out, const struct llm_request_parts *parts)
{
    if (parts->turn_count == 0)
        return;
    if (!history_turn_splice(out, parts->turns, parts->turn_count, parts->history_bytes_max, parts->job))
        history_append(out, parts->turns, parts->turn_count, parts->history_bytes_max, parts->job);
}

static void put_system(struct json_writer *out, const char *content)
{
    json_write_open(out, NULL);
    json_write_text(out, "role", "system");
    json_write_text(out, "content", content);
    json_write_close(out);
}

/* message, whose content is a string, with context appended. */
static void put_with_context(struct json_writer *out, struct json_view message, const char *context)
{
    struct json_member member = {.at = message.text, .end = message.text + message.size};
    json_write_open(out, NULL);
    while (json_member_next(&member)) {
        if (json_member_is(&member, "content"))
            json_write_longer(out, "content", (struct json_view){member.value, member.value_size}, context);
        else
            json_write_raw_member(out, member.name, member.name_size, member.value, member.value_size);
    }
    json_write_close(out);
}

/* The job's system message, or else the settings' (either may be none), with the context (may be NULL) appended; if the content of the job's
 * isn't a text, it is unchanged, and the context becomes a message behind it. */
static void put_last_system(struct json_writer *out, struct json_view own, const char *system_prompt, const char *context)
{
    AUTO_FREE char *behind = context != NULL ? xasprintf("\n\n%s", context) : NULL;
    if (context != NULL && own.size > 0 && json_view_type(json_view_member(own, "content")) == JSON_STRING) {
        put_with_context(out, own, behind);
        return;
    }
    if (context != NULL && own.size == 0 && system_prompt != NULL) {
        AUTO_FREE char *joined = xasprintf("%s%s", system_prompt, behind);
        put_system(out, joined);
        return;
    }
    if (own.size > 0)
        json_write_view(out, NULL, own);
    else if (system_prompt != NULL)
        put_system(out, system_prompt);
    if (context != NULL)
        put_system(out, context);
}

static void put_messages(struct json_writer *out, const struct llm_request_parts *parts)
{
    struct json_view messages = json_view_of_text(parts->job->messages), at = {0}, last_leading = {0};
    bool own_system = false;
    while (!own_system && json_view_next(messages, &at))
        own_system = history_message_is_system(at);

    /* Many chat templates accept one system message only, in first place: the job's leading ones are put before the
     * history, and the context into the last of them. */
    at = (struct json_view){0};
    while (json_view_next(messages, &at) && history_message_is_system(at)) {
        if (last_leading.size > 0)
            json_write_view(out, NULL, last_leading);
        last_leading = at;
    }
    put_last_system(out, last_leading, own_system ? NULL : parts->system_prompt, parts->context);
    put_history(out, parts);
    for (; at.size > 0; json_view_next(messages, &at)) /* from the first one behind the leading ones */
        json_write_view(out, NULL, at);
}

/* The model, then params; the later ones take precedence: settings, the provider's, the job's. */
static void put_rest(struct json_writer *out, const struct provider_settings *provider, const char *own_text)
{
    struct json_view base = json_view_of_text(provider->params); /* checked at start */
    struct json_view own = json_view_of_text(own_text);          /* by job_decode */
    if (provider->model != NULL && json_view_member(base, "model").size == 0 && json_view_member(own, "model").size == 0)
        json_write_text(out, "model", provider->model);
    put_params(out, base, own);
    put_params(out, own, (struct json_view){0});
}

/* About the body's size, so that it isn't copied while it grows. */
static size_t room_for(const struct llm_request_parts *parts)
{
    size_t room = strlen(parts->job->messages) + 1024;
    const char *const texts[] = {parts->system_prompt, parts->context, parts->job->params, parts->provider->params};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        room += texts[i] != NULL ? strlen(texts[i]) : 0;
    size_t history = 0;
    for (size_t i = 0; i < parts->turn_count; i++)
        history += strlen(parts->turns[i]);
    return room + (parts->history_bytes_max >= 0 && history > (size_t)parts->history_bytes_max ? (size_t)parts->history_bytes_max : history);
}

bool llm_request_is_streamed(const struct provider_settings *provider, bool wants_deltas)
{
    return provider->stream == STREAM_ALWAYS || (provider->stream == STREAM_ASKED && wants_deltas);
}

char *llm_request_encode(const struct llm_request_parts *parts)
{
    struct json_writer body = {0};
    json_writer_reserve(&body, room_for(parts));
    json_write_open(&body, NULL);
    json_write_open_array(&body, "messages");
    put_messages(&body, parts);
    json_write_close_array(&body);
    put_rest(&body, parts->provider, parts->job->params);
    json_write_bool(&body, "stream", parts->stream); /* always, since some servers stream by default */
    if (parts->stream && parts->provider->stream_usage == STREAM_USAGE_ASKED)
        json_write_raw(&body, "stream_options", "{\"include_usage\":true}");
    json_write_close(&body);
    return body.text;
}
