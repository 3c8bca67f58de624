#include "llm/llm_codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "llm/finish_reason.h"
#include "llm/refusal.h"
#include "settings/reserved_params.h"
#include "wire/history.h"
#include "wire/job_scan.h"
#include "wire/json_check.h"
#include "wire/json_member.h"
#include "wire/json_text.h"
#include "wire/json_view.h"
#include "wire/json_writer.h"

/* ---- the request ---- */

/* What the codec itself decides. A job's params can't hold them (job_decode refuses); a provider's might. */
static bool param_is_ours(const struct json_member *param)
{
    for (const char *const *name = reserved_params; *name != NULL; name++)
        if (json_member_is(param, *name))
            return true;
    return false;
}

static struct json_view view_of(const char *text)
{
    return text != NULL ? json_view_of(text, text + strlen(text)) : (struct json_view){0};
}

/* Has object (may be none) a member of the same name? */
static bool overrides(struct json_view object, const struct json_member *param)
{
    struct json_view name = {param->name - 1, param->name_size + 2};
    struct json_member own = {.at = object.text, .end = object.text + object.size};
    while (object.size > 0 && json_member_next(&own))
        if (json_view_compare((struct json_view){own.name - 1, own.name_size + 2}, name) == 0)
            return true;
    return false;
}

/* An object's members that none of the other overrides, as they came. */
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
    if (!history_splice(out, parts->turns, parts->turn_count, parts->history_bytes_max, parts->job))
        history_append(out, parts->turns, parts->turn_count, parts->history_bytes_max, parts->job);
}

static void put_system(struct json_writer *out, const char *content)
{
    json_write_open(out, NULL);
    json_write_text(out, "role", "system");
    json_write_text(out, "content", content);
    json_write_close(out);
}

/* message, whose content is a string, with context behind it. */
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

/* The job's own, or else the settings' (either may be none), with the context (may be NULL) as its end; an own one whose content
 * isn't a text stays as it is, and the context is a message behind it. */
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
    struct json_view messages = view_of(parts->job->messages), at = {0}, last_leading = {0};
    bool own_system = false;
    while (!own_system && json_view_next(messages, &at))
        own_system = history_is_system(at);

    /* Many chat templates take a system message in first place only, and but one: the job's leading ones go before the
     * history, and the context into the last message before it. */
    at = (struct json_view){0};
    while (json_view_next(messages, &at) && history_is_system(at)) {
        if (last_leading.size > 0)
            json_write_view(out, NULL, last_leading);
        last_leading = at;
    }
    put_last_system(out, last_leading, own_system ? NULL : parts->system_prompt, parts->context);
    put_history(out, parts);
    for (; at.size > 0; json_view_next(messages, &at)) /* from the first behind those that lead */
        json_write_view(out, NULL, at);
}

/* The model, then params; the later ones win: settings, the provider's, the job's. */
static void put_rest(struct json_writer *out, const struct provider_settings *provider, const char *own_text)
{
    struct json_view base = view_of(provider->params); /* checked at start */
    struct json_view own = view_of(own_text);          /* by job_decode */
    if (provider->model != NULL && json_view_member(base, "model").size == 0 && json_view_member(own, "model").size == 0)
        json_write_text(out, "model", provider->model);
    put_params(out, base, own);
    put_params(out, own, (struct json_view){0});
}

/* Not far from what the body will be, so that it isn't copied while it grows. */
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

bool llm_request_is_streamed(const struct provider_settings *provider, bool wants_pieces)
{
    return provider->stream == STREAM_ALWAYS || (provider->stream == STREAM_ASKED && wants_pieces);
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
    json_write_bool(&body, "stream", parts->stream); /* some stream unless told not to */
    if (parts->stream && parts->provider->stream_usage == STREAM_USAGE_ASKED)
        json_write_raw(&body, "stream_options", "{\"include_usage\":true}");
    json_write_close(&body);
    return body.text;
}

/* ---- errors ---- */

static const char *text_at(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static void tell(int http_status, struct refusal *refusal, struct llm_failure *failure, struct error *err)
{
    const char *kind = failure_kind_name(refusal->kind), *hint = refusal_hint(refusal, http_status);
    if (http_status != 0)
        error_set(err, failure_class(refusal->kind), refusal->code, "HTTP %d, %s (%s): %s", http_status, refusal->code, kind, hint);
    else
        error_set(err, failure_class(refusal->kind), refusal->code, "an error inside an HTTP 200, %s (%s): %s", refusal->code, kind, hint);
    if (failure == NULL)
        return;
    failure->kind = refusal->kind;
    failure->n_ctx = refusal->n_ctx;
    failure->n_prompt = refusal->n_prompt;
    failure->unexplained = refusal->unexplained;
    failure->may_be_quoted = refusal->may_be_quoted;
    failure->evidence = refusal->evidence;
    failure->reset = refusal->reset;
    if (failure->retry_after_ms < 0)
        failure->retry_after_ms = refusal->wait_ms;
    if (failure->said != NULL) {
        free(failure->said->message);
        failure->said->message = steal_ptr(&refusal->message);
    }
}

static struct refusal_facts facts_of(int http_status, const struct llm_failure *failure)
{
    return (struct refusal_facts){.http_status = http_status, .header_wait_ms = failure != NULL ? failure->retry_after_ms : -1};
}

static const char *const *secrets_of(const struct llm_failure *failure)
{
    return failure != NULL && failure->said != NULL ? failure->said->secrets : NULL;
}

void llm_error_classify(int http_status, const char *body, size_t size, struct llm_failure *failure, struct error *err)
{
    struct refusal refusal;
    struct refusal_facts facts = facts_of(http_status, failure);
    refusal_read(&facts, body, size, secrets_of(failure), &refusal);
    tell(http_status, &refusal, failure, err);
    refusal_finish(&refusal);
}

/* A code or status of a body without an answer, that doesn't say that all is well, or under way. */
static bool is_bad(const json_t *code)
{
    static const char *const good[] = {"", "0", "200", "ok", "success", "succeeded", "pending", "processing", "queued", "running", "in_progress", "completed", NULL};
    for (const char *const *g = good; json_is_string(code) && *g != NULL; g++)
        if (strcasecmp(json_string_value(code), *g) == 0)
            return false;
    return json_is_string(code) || (json_is_integer(code) && json_integer_value(code) != 0 && json_integer_value(code) != 200);
}

/* Does a member say anything? Many servers send an empty `error` beside a good answer: {}, "", {"code":null,"message":""}, or one whose code
 * says that all is well. Recurses as deep as it is nested (JSON_DEPTH_MAX). */
static bool is_filled(const json_t *value)
{
    const char *name;
    json_t *member, *code = json_object_get(value, "code");
    if (code != NULL && !json_is_null(code) && json_string_length(code) + json_is_integer(code) > 0 && !is_bad(code))
        return false;
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
        if (is_filled(member) || (json_is_number(member) && json_number_value(member) != 0))
            return true;
    return json_is_true(value) || json_array_size(value) > 0 || json_string_length(value) > 0;
}

bool llm_is_error_in_200(const json_t *root)
{
    if (json_is_array(root))
        root = json_array_get(root, 0);
    const char *object = text_at(root, "object"), *type = text_at(root, "type");
    const json_t *minimax = json_object_get(json_object_get(root, "base_resp"), "status_code");
    if (is_filled(json_object_get(root, "error")) || (object != NULL && strcmp(object, "error") == 0) || (type != NULL && strcmp(type, "error") == 0))
        return true;
    if (json_is_integer(minimax) && json_integer_value(minimax) != 0)
        return true;
    if (json_array_size(json_object_get(root, "choices")) > 0)
        return false;
    bool coded = is_bad(json_object_get(root, "code")) || is_bad(json_object_get(root, "status"));
    bool worded = text_at(root, "message") != NULL || text_at(root, "msg") != NULL;
    bool blocked = is_filled(json_object_get(root, "promptFeedback")) || is_filled(json_object_get(root, "prompt_feedback")); /* Google's */
    return blocked || json_is_false(json_object_get(root, "success")) || is_filled(json_object_get(root, "errors")) || is_filled(json_object_get(root, "detail")) ||
           json_object_get(root, "error_code") != NULL || text_at(root, "error_msg") != NULL || (coded && worded);
}

enum status llm_error_in_200(const json_t *root, struct llm_failure *failure, struct error *err)
{
    struct refusal refusal;
    struct refusal_facts facts = facts_of(0, failure);
    refusal_read_json(&facts, root, secrets_of(failure), &refusal);
    tell(0, &refusal, failure, err);
    refusal_finish(&refusal);
    return STATUS_FAILED;
}

static void set_kind(struct llm_failure *failure, enum failure_kind kind)
{
    if (failure != NULL)
        failure->kind = kind;
}

static bool says_nothing(const json_t *message)
{
    return json_string_length(json_object_get(message, "content")) == 0 && json_array_size(json_object_get(message, "content")) == 0 &&
           json_array_size(json_object_get(message, "tool_calls")) == 0;
}

enum status llm_finish_check(const struct llm_finish *finish, struct llm_failure *failure, struct error *err)
{
    const json_t *message = finish->message;
    enum finish end = finish_reason_look(finish->reason);
    if (is_filled(finish->error)) {
        AUTO_JSON json_t *root = json_pack("{s:O}", "error", finish->error);
        return llm_error_in_200(root, failure, err);
    }
    if (finish->native != NULL && (finish->reason == NULL || finish->reason[0] == '\0' || (end == FINISH_GOOD && says_nothing(message))))
        end = finish_reason_look(finish->native);
    if (end == FINISH_BROKEN) {
        set_kind(failure, FAILURE_SERVER);
        return error_set(err, ERROR_RETRIABLE, "generation_failed", "the provider broke its answer off: finish_reason says so");
    }
    if (end == FINISH_CONTENT && message == NULL) {
        set_kind(failure, FAILURE_CONTENT);
        return error_set(err, ERROR_PERMANENT, "content_filter", "the provider's content filter refused the answer, and sent no message");
    }
    if (end == FINISH_TOO_LONG && says_nothing(message)) {
        set_kind(failure, FAILURE_TOO_LONG);
        return error_set(err, ERROR_PERMANENT, "context_length_exceeded", "the conversation is longer than the model's context, says finish_reason");
    }
    return STATUS_OK;
}
