#include "llm/tool_call_fold.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "wire/json_writer.h"

bool tool_call_keep_first(json_t **kept, json_t *value, size_t *bytes)
{
    if (json_string_length(value) == 0)
        return false;
    if (*kept == NULL) {
        *kept = json_incref(value);
        *bytes += json_string_length(value);
    }
    return true;
}

void tool_call_finish(struct tool_call *call)
{
    json_decref(call->id);
    json_decref(call->type);
    text_buffer_finish(&call->name);
    text_buffer_finish(&call->arguments);
    member_fold_finish(&call->of_function);
    member_fold_finish(&call->others);
    *call = (struct tool_call){0};
}

void tool_call_fold_finish(struct tool_call_fold *fold)
{
    for (size_t i = 0; i < fold->count; i++)
        tool_call_finish(&fold->items[i]);
    free(fold->items);
    *fold = (struct tool_call_fold){0};
}

/* ---- which call ---- */

/* What identifies a delta's call. */
struct address {
    json_int_t index;      /* -1: none */
    const json_t *id, *name; /* NULL: none */
    bool brings_arguments; /* even empty ones */
};

static const json_t *text_at(const json_t *object, const char *name)
{
    const json_t *text = json_object_get(object, name);
    return json_string_length(text) > 0 ? text : NULL;
}

static struct address address_of(const json_t *delta)
{
    const json_t *function = json_object_get(delta, "function");
    return (struct address){.index = member_index(json_object_get(delta, "index")),
                            .id = text_at(delta, "id"),
                            .name = text_at(function, "name"),
                            .brings_arguments = json_object_get(function, "arguments") != NULL};
}

static bool is_at(const struct tool_call *call, const struct address *address)
{
    if (address->index >= 0)
        return call->index == address->index;
    return address->id == NULL || (call->id != NULL && json_equal(call->id, address->id));
}

static struct tool_call *find(const struct tool_call_fold *fold, const struct address *address)
{
    for (size_t i = fold->count; i-- > 0;)
        if (is_at(&fold->items[i], address))
            return &fold->items[i];
    return NULL;
}

static bool has_begun_arguments(const struct tool_call *call)
{
    return call->arguments.size > 0 || member_fold_says(&call->of_function, "arguments");
}

static bool is_named(const struct tool_call *call, const json_t *name)
{
    return call->name.size == json_string_length(name) && memcmp(text_buffer_text(&call->name), json_string_value(name), call->name.size) == 0;
}

/* Does the delta begin another call, although a call with its address exists? */
static bool begins_another(const struct tool_call *call, const struct address *address)
{
    if (address->name == NULL || call->name.size == 0)
        return false;
    if (address->id != NULL)
        return call->id != NULL && !json_equal(call->id, address->id);
    if (address->index < 0)
        return address->brings_arguments || has_begun_arguments(call);
    return has_begun_arguments(call) && !is_named(call, address->name);
}

static struct tool_call *open_call(struct tool_call_fold *fold, json_int_t index)
{
    if (index < 0)
        index = fold->count > 0 ? fold->items[fold->count - 1].index + 1 : 0; /* NOLINT(clang-analyzer-core.NullDereference): none are NULL */
    fold->items = xrealloc(fold->items, (fold->count + 1) * sizeof *fold->items);
    size_t at = fold->count++;
    while (at > 0 && fold->items[at - 1].index > index)
        at--;
    memmove(fold->items + at + 1, fold->items + at, (fold->count - 1 - at) * sizeof *fold->items);
    fold->items[at] = (struct tool_call){.index = index};
    return &fold->items[at];
}

/* ---- joining ---- */

/* A name comes in pieces, or is repeated. */
static void add_name(struct tool_call *call, const json_t *name, size_t *bytes)
{
    if (is_named(call, name))
        return;
    text_buffer_append(&call->name, json_string_value(name), json_string_length(name));
    *bytes += json_string_length(name);
}

static enum fold_fault add_arguments(struct tool_call *call, const json_t *arguments, size_t *bytes)
{
    bool is_tree = member_fold_says(&call->of_function, "arguments");
    if (!json_is_string(arguments)) {
        if (call->arguments.size > 0)
            return member_is_void(arguments) ? FOLD_FINE : FOLD_CONTRARY;
        return member_fold_add(&call->of_function, "arguments", arguments, bytes);
    }
    if (is_tree)
        return json_string_length(arguments) == 0 ? FOLD_FINE : FOLD_CONTRARY;
    call->has_arguments = true;
    text_buffer_append(&call->arguments, json_string_value(arguments), json_string_length(arguments));
    *bytes += json_written_size(json_string_value(arguments), json_string_length(arguments));
    return FOLD_FINE;
}

enum fold_fault tool_call_add_function(struct tool_call *call, const json_t *function, size_t *bytes)
{
    enum fold_fault fault = FOLD_FINE;
    const char *name;
    json_t *value;
    call->has_function = true;
    json_object_foreach((json_t *)(uintptr_t)function, name, value) {
        if (strcmp(name, "name") == 0 && json_string_length(value) > 0)
            add_name(call, value, bytes);
        else if (strcmp(name, "arguments") == 0)
            fault = add_arguments(call, value, bytes);
        else
            fault = member_fold_add(&call->of_function, name, value, bytes);
        if (fault != FOLD_FINE)
            break;
    }
    return fault;
}

static enum fold_fault add_members(struct tool_call *call, json_t *delta, size_t *bytes)
{
    enum fold_fault fault = FOLD_FINE;
    const char *name;
    json_t *value;
    json_object_foreach(delta, name, value) {
        if ((strcmp(name, "id") == 0 && tool_call_keep_first(&call->id, value, bytes)) ||
            (strcmp(name, "type") == 0 && tool_call_keep_first(&call->type, value, bytes)))
            continue;
        if (strcmp(name, "function") == 0 && json_is_object(value))
            fault = tool_call_add_function(call, value, bytes);
        else if (strcmp(name, "index") != 0)
            fault = member_fold_add(&call->others, name, value, bytes);
        if (fault != FOLD_FINE)
            break;
    }
    return fault;
}

enum fold_fault tool_call_fold_add(struct tool_call_fold *fold, const json_t *deltas, size_t *bytes)
{
    for (size_t i = 0; i < json_array_size(deltas); i++) {
        json_t *delta = json_array_get(deltas, i);
        if (!json_is_object(delta)) {
            if (member_is_void(delta))
                continue;
            return FOLD_CONTRARY;
        }
        struct address address = address_of(delta);
        struct tool_call *call = find(fold, &address);
        if (call == NULL || begins_another(call, &address)) {
            if (fold->count == TOOL_CALLS_MAX)
                return FOLD_TOO_MUCH;
            call = open_call(fold, address.index);
        }
        enum fold_fault fault = add_members(call, delta, bytes);
        if (fault != FOLD_FINE)
            return fault;
    }
    return FOLD_FINE;
}

/* ---- the whole ---- */

/* Members with a rule of their own take precedence over ones of the same name without. */
static void add_others(json_t *whole, const struct member_fold *others)
{
    json_t *members = member_fold_json(others);
    json_object_update_missing(whole, members);
    json_decref(members);
}

static json_t *text_json(const struct text_buffer *text)
{
    return json_stringn_nocheck(text_buffer_text(text), text->size);
}

json_t *tool_call_function_json(const struct tool_call *call)
{
    json_t *function = json_object();
    bool is_text = call->has_arguments && !member_fold_says(&call->of_function, "arguments");
    if (call->name.size > 0)
        json_object_set_new(function, "name", text_json(&call->name));
    if (is_text)
        json_object_set_new(function, "arguments", text_json(&call->arguments));
    add_others(function, &call->of_function);
    return function;
}

json_t *tool_call_fold_json(const struct tool_call_fold *fold)
{
    json_t *calls = json_array();
    for (size_t i = 0; i < fold->count; i++) {
        const struct tool_call *call = &fold->items[i];
        json_t *whole = json_object();
        if (call->id != NULL)
            json_object_set(whole, "id", call->id);
        if (call->type != NULL)
            json_object_set(whole, "type", call->type);
        if (call->has_function)
            json_object_set_new(whole, "function", tool_call_function_json(call));
        add_others(whole, &call->others);
        json_array_append_new(calls, whole);
    }
    return calls;
}
