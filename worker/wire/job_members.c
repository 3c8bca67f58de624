#include "wire/job_members.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define REFUSE(err, ...) error_set((err), ERROR_PERMANENT, "invalid_member", __VA_ARGS__)

const char *json_kind(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a number with a fraction or exponent";
    case JSON_TRUE:
    case JSON_FALSE: return "a boolean";
    case JSON_NULL: return "null";
    }
    return "unknown";
}

static bool is_role(const char *role)
{
    static const char *const roles[] = {"user", "assistant", "system", "tool", "developer"};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (strcmp(role, roles[i]) == 0)
            return true;
    return false;
}

static enum status check_content(size_t at, const json_t *message, const char *role, struct error *err)
{
    const json_t *content = json_object_get(message, "content");
    if (json_is_string(content))
        return STATUS_OK;
    if (json_is_array(content)) {
        for (size_t i = 0; i < json_array_size(content); i++) {
            const json_t *part = json_array_get(content, i);
            if (!json_is_object(part))
                return REFUSE(err, "messages[%zu].content[%zu]: must be an object, not %s", at, i, json_kind(part));
        }
        return STATUS_OK;
    }
    if (content != NULL && !json_is_null(content))
        return REFUSE(err, "messages[%zu].content: must be a string, an array of parts or null, not %s", at,
                      json_kind(content));
    if (strcmp(role, "assistant") == 0 && json_array_size(json_object_get(message, "tool_calls")) > 0)
        return STATUS_OK;
    return REFUSE(err, "messages[%zu].content: %s; only an assistant message with tool_calls may go without", at,
                  content == NULL ? "missing" : "must not be null");
}

static enum status check_message(size_t at, const json_t *message, struct error *err)
{
    if (!json_is_object(message))
        return REFUSE(err, "messages[%zu]: must be an object, not %s", at, json_kind(message));
    const json_t *role = json_object_get(message, "role");
    if (role == NULL)
        return REFUSE(err, "messages[%zu].role: missing", at);
    if (!json_is_string(role))
        return REFUSE(err, "messages[%zu].role: must be a string, not %s", at, json_kind(role));
    if (!is_role(json_string_value(role)))
        return REFUSE(err, "messages[%zu].role: must be system, developer, user, assistant or tool", at);
    return check_content(at, message, json_string_value(role), err);
}

static json_t *one_user_message(json_t *content)
{
    return json_pack("[{s:s, s:O}]", "role", "user", "content", content);
}

enum status job_messages(json_t *root, json_t **ret_messages, struct error *err)
{
    json_t *message = json_object_get(root, "message");
    json_t *messages = json_object_get(root, "messages");
    if (message != NULL && messages != NULL)
        return REFUSE(err, "message, messages: a job has one of them, not both");
    if (message == NULL && messages == NULL)
        return REFUSE(err, "message: missing; a job has either message or messages");
    if (message != NULL) {
        if (!json_is_string(message))
            return REFUSE(err, "message: must be a string, not %s", json_kind(message));
        *ret_messages = one_user_message(message);
        return STATUS_OK;
    }
    if (!json_is_array(messages))
        return REFUSE(err, "messages: must be an array, not %s", json_kind(messages));
    if (json_array_size(messages) == 0)
        return REFUSE(err, "messages: must not be empty");
    for (size_t i = 0; i < json_array_size(messages); i++)
        if (check_message(i, json_array_get(messages, i), err) != STATUS_OK)
            return STATUS_FAILED;
    *ret_messages = json_incref(messages);
    return STATUS_OK;
}

static bool is_allowed(const char *model, const char *const *models_allowed)
{
    for (; models_allowed != NULL && *models_allowed != NULL; models_allowed++)
        if (strcmp(model, *models_allowed) == 0)
            return true;
    return false;
}

enum status job_params(const json_t *root, const char *const *models_allowed, struct error *err)
{
    /* The worker's own: what is asked, how it is read, and one answer a job. */
    static const char *const refused[] = {"messages", "stream", "stream_options", "n"};

    const json_t *params = json_object_get(root, "params");
    if (params == NULL)
        return STATUS_OK;
    if (!json_is_object(params))
        return REFUSE(err, "params: must be an object, not %s", json_kind(params));
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (json_object_get(params, refused[i]) != NULL)
            return REFUSE(err, "params.%s: not allowed in a job; remove it", refused[i]);
    const json_t *model = json_object_get(params, "model");
    if (model != NULL && !json_is_string(model))
        return REFUSE(err, "params.model: must be a string, not %s", json_kind(model));
    if (model != NULL && !is_allowed(json_string_value(model), models_allowed))
        return REFUSE(err, "params.model: not one of llm.models_allowed; remove it, or have it added there");
    return STATUS_OK;
}

/* The way to a value, linked up the stack, so that a value without faults costs no text. */
struct path {
    const struct path *above;
    const char *name; /* NULL: an element of an array */
    size_t index;
};

/* Names come from outside: what isn't plain is shown as '?', and a path too long is cut. */
static size_t path_write(const struct path *path, char *out, size_t size)
{
    if (path == NULL)
        return 0;
    size_t used = path_write(path->above, out, size);
    size_t left = size - used;
    int wrote = path->name == NULL ? snprintf(out + used, left, "[%zu]", path->index)
                                   : snprintf(out + used, left, "%s%.40s", used > 0 ? "." : "", path->name);
    size_t end = used + (size_t)wrote < size ? used + (size_t)wrote : size - 1;
    for (size_t i = used; i < end; i++)
        if (out[i] < ' ' || out[i] > '~')
            out[i] = '?';
    return end;
}

static enum status refuse_value(const struct path *path, const char *code, const char *why, struct error *err)
{
    char where[160] = "the value"; /* a value that is nothing but the fault has no path */
    path_write(path, where, sizeof where);
    return error_set(err, ERROR_PERMANENT, code, "%s: %s", where, why);
}

static enum status check_value(const json_t *value, const struct path *path, struct error *err)
{
    const json_int_t exact_max = INT64_C(1) << 53;
    switch (json_typeof(value)) {
    case JSON_INTEGER:
        if (json_integer_value(value) > exact_max || json_integer_value(value) < -exact_max)
            return refuse_value(path, "integer_out_of_range",
                                "an integer beyond 2^53 doesn't survive every JSON reader; send it as a string", err);
        return STATUS_OK;
    case JSON_STRING:
        if (strlen(json_string_value(value)) != json_string_length(value))
            return refuse_value(path, "invalid_member", "holds a NUL character (\\u0000); remove it", err);
        return STATUS_OK;
    case JSON_ARRAY:
        for (size_t i = 0; i < json_array_size(value); i++) {
            struct path here = {.above = path, .index = i};
            if (check_value(json_array_get(value, i), &here, err) != STATUS_OK)
                return STATUS_FAILED;
        }
        return STATUS_OK;
    case JSON_OBJECT: {
        const char *name;
        json_t *inner;
        json_object_foreach((json_t *)(uintptr_t)value, name, inner) {
            struct path here = {.above = path, .name = name};
            if (check_value(inner, &here, err) != STATUS_OK)
                return STATUS_FAILED;
        }
        return STATUS_OK;
    }
    case JSON_REAL:
    case JSON_TRUE:
    case JSON_FALSE:
    case JSON_NULL: return STATUS_OK;
    }
    return STATUS_OK;
}

enum status job_values(json_t *root, struct error *err)
{
    return check_value(root, NULL, err);
}
