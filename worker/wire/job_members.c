#include "wire/job_members.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "settings/reserved_params.h"
#include "wire/json_member.h"

#define REFUSE(err, ...) error_set((err), ERROR_PERMANENT, "invalid_member", __VA_ARGS__)

static bool is_role(struct json_view role)
{
    static const char *const roles[] = {"user", "assistant", "system", "tool", "developer"};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (json_view_is(role, roles[i]))
            return true;
    return false;
}

/* The members read of a message. */
struct message {
    struct json_view role, content, tool_calls;
};

static struct message read_message(struct json_view object)
{
    struct message message = {0};
    struct json_member member = {.at = object.text, .end = object.text + object.size};
    while (json_member_next(&member)) {
        struct json_view value = {member.value, member.value_size};
        if (json_member_is(&member, "role"))
            message.role = value;
        else if (json_member_is(&member, "content"))
            message.content = value;
        else if (json_member_is(&member, "tool_calls"))
            message.tool_calls = value;
    }
    return message;
}

static enum status check_content(size_t at, const struct message *message, struct error *err)
{
    struct json_view content = message->content, part = {0};
    int type = json_view_type(content);
    if (type == JSON_STRING)
        return STATUS_OK;
    for (size_t i = 0; type == JSON_ARRAY && json_view_next(content, &part); i++)
        if (json_view_type(part) != JSON_OBJECT)
            return REFUSE(err, "messages[%zu].content[%zu]: must be an object, not %s", at, i, json_view_kind(part));
    if (type == JSON_ARRAY)
        return STATUS_OK;
    if (type != JSON_VIEW_NONE && type != JSON_NULL)
        return REFUSE(err, "messages[%zu].content: must be a string, an array of parts or null, not %s", at,
                      json_view_kind(content));
    bool has_calls = json_view_type(message->tool_calls) == JSON_ARRAY && json_view_is_filled(message->tool_calls);
    if (has_calls && json_view_is(message->role, "assistant"))
        return STATUS_OK;
    return REFUSE(err, "messages[%zu].content: %s; only an assistant message with tool_calls may go without", at,
                  type == JSON_VIEW_NONE ? "missing" : "must not be null");
}

static enum status check_message(size_t at, struct json_view object, struct error *err)
{
    if (json_view_type(object) != JSON_OBJECT)
        return REFUSE(err, "messages[%zu]: must be an object, not %s", at, json_view_kind(object));
    struct message message = read_message(object);
    if (message.role.size == 0)
        return REFUSE(err, "messages[%zu].role: missing", at);
    if (json_view_type(message.role) != JSON_STRING)
        return REFUSE(err, "messages[%zu].role: must be a string, not %s", at, json_view_kind(message.role));
    if (!is_role(message.role))
        return REFUSE(err, "messages[%zu].role: must be system, developer, user, assistant or tool", at);
    return check_content(at, &message, err);
}

/* content unchanged. */
static char *one_user_message(struct json_view content)
{
    static const char before[] = "[{\"role\":\"user\",\"content\":", after[] = "}]";
    char *text = xcalloc(1, sizeof before - 1 + content.size + sizeof after);
    char *end = mempcpy(text, before, sizeof before - 1);
    end = mempcpy(end, content.text, content.size);
    memcpy(end, after, sizeof after);
    return text;
}

enum status job_messages(struct json_view message, struct json_view messages, char **ret_messages, struct error *err)
{
    if (message.size > 0 && messages.size > 0)
        return REFUSE(err, "message, messages: a job has one of them, not both");
    if (message.size == 0 && messages.size == 0)
        return REFUSE(err, "message: missing; a job has either message or messages");
    if (message.size > 0) {
        if (json_view_type(message) != JSON_STRING)
            return REFUSE(err, "message: must be a string, not %s", json_view_kind(message));
        *ret_messages = one_user_message(message);
        return STATUS_OK;
    }
    if (json_view_type(messages) != JSON_ARRAY)
        return REFUSE(err, "messages: must be an array, not %s", json_view_kind(messages));
    if (!json_view_is_filled(messages))
        return REFUSE(err, "messages: must not be empty");
    struct json_view at = {0};
    for (size_t i = 0; json_view_next(messages, &at); i++)
        if (check_message(i, at, err) != STATUS_OK)
            return STATUS_FAILED;
    *ret_messages = xmemdup0(messages.text, messages.size);
    return STATUS_OK;
}

static bool is_allowed(struct json_view model, const char *const *models_allowed)
{
    for (; models_allowed != NULL && *models_allowed != NULL; models_allowed++)
        if (json_view_is(model, *models_allowed))
            return true;
    return false;
}

enum status job_params(struct json_view params, const char *const *models_allowed, struct error *err)
{
    if (params.size == 0)
        return STATUS_OK;
    if (json_view_type(params) != JSON_OBJECT)
        return REFUSE(err, "params: must be an object, not %s", json_view_kind(params));
    for (const char *const *name = reserved_params; *name != NULL; name++)
        if (json_view_member(params, *name).size > 0)
            return REFUSE(err, "params.%s: not allowed in a job; remove it", *name);
    struct json_view model = json_view_member(params, "model");
    if (model.size > 0 && json_view_type(model) != JSON_STRING)
        return REFUSE(err, "params.model: must be a string, not %s", json_view_kind(model));
    if (model.size > 0 && !is_allowed(model, models_allowed))
        return REFUSE(err, "params.model: not one of llm.models_allowed; remove it, or have it added there");
    return STATUS_OK;
}

/* The path to a value, linked up the stack, so that no text is built without a fault. */
struct path {
    const struct path *above;
    struct json_view name; /* raw, with its quotes; none: an element of an array */
    size_t index;
};

/* Names come from outside: characters that aren't plain are shown as '?', and a path too long is cut. */
static size_t path_write(const struct path *path, char *out, size_t size)
{
    if (path == NULL)
        return 0;
    size_t used = path_write(path->above, out, size);
    size_t left = size - used;
    AUTO_FREE char *name = json_view_decode(path->name, NULL);
    int wrote = name == NULL ? snprintf(out + used, left, "[%zu]", path->index)
                             : snprintf(out + used, left, "%s%.40s", used > 0 ? "." : "", name);
    size_t end = used + (size_t)wrote < size ? used + (size_t)wrote : size - 1;
    for (size_t i = used; i < end; i++)
        if (out[i] < ' ' || out[i] > '~')
            out[i] = '?';
    return end;
}

static enum status refuse_value(const struct path *path, const char *code, const char *why, struct error *err)
{
    char where[160] = "the value"; /* if the value itself is the fault, there is no path */
    path_write(path, where, sizeof where);
    return error_set(err, ERROR_PERMANENT, code, "%s: %s", where, why);
}

static bool holds_nul(struct json_view string)
{
    const char *end = string.text + string.size;
    for (const char *at = string.text; (at = memchr(at, '\\', (size_t)(end - at))) != NULL;) {
        struct json_escape escape = json_escape_read(at, end);
        if (escape.code == 0)
            return true;
        at += escape.size;
    }
    return false;
}

static enum status check_value(struct json_view value, const struct path *path, struct error *err);

static enum status check_elements(struct json_view array, const struct path *path, struct error *err)
{
    struct json_view element = {0};
    for (size_t i = 0; json_view_next(array, &element); i++) {
        struct path here = {.above = path, .index = i};
        if (check_value(element, &here, err) != STATUS_OK)
            return STATUS_FAILED;
    }
    return STATUS_OK;
}

static enum status check_members(struct json_view object, const struct path *path, struct error *err)
{
    struct json_member member = {.at = object.text, .end = object.text + object.size};
    while (json_member_next(&member)) {
        struct path here = {.above = path, .name = {member.name - 1, member.name_size + 2}};
        if (check_value((struct json_view){member.value, member.value_size}, &here, err) != STATUS_OK)
            return STATUS_FAILED;
    }
    return STATUS_OK;
}

static enum status check_value(struct json_view value, const struct path *path, struct error *err)
{
    const long long exact_max = INT64_C(1) << 53;
    switch (json_view_type(value)) {
    case JSON_INTEGER: {
        char digits[24] = "";
        memcpy(digits, value.text, value.size < sizeof digits ? value.size : sizeof digits - 1);
        long long number = strtoll(digits, NULL, 10);
        if (number > exact_max || number < -exact_max)
            return refuse_value(path, "integer_out_of_range",
                                "an integer beyond 2^53 doesn't survive every JSON reader; send it as a string", err);
        return STATUS_OK;
    }
    case JSON_STRING:
        if (holds_nul(value))
            return refuse_value(path, "invalid_member", "holds a NUL character (\\u0000); remove it", err);
        return STATUS_OK;
    case JSON_ARRAY: return check_elements(value, path, err);
    case JSON_OBJECT: return check_members(value, path, err);
    default: return STATUS_OK;
    }
}

enum status job_values(struct json_view root, struct error *err)
{
    return check_value(root, NULL, err);
}
