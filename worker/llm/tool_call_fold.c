#include "llm/tool_call_fold.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "wire/json_writer.h"

#define INDEX_MAX INT32_MAX /* a larger one counts as none, so that one more is always a number */

void tool_call_keep_first(char **kept, const json_t *value, size_t *bytes)
{
    const char *text = json_string_value(value);
    if (*kept != NULL || text == NULL || text[0] == '\0')
        return;
    *kept = xstrdup(text);
    *bytes += strlen(text);
}

void tool_call_finish(struct tool_call *call)
{
    free(call->id);
    free(call->type);
    free(call->name);
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

/* What tells a delta's call. */
struct address {
    json_int_t index; /* -1: not said */
    const char *id;   /* NULL: not said */
    bool named;
};

static const char *text_at(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static struct address address_of(const json_t *delta)
{
    const json_t *index = json_object_get(delta, "index");
    bool usable = json_is_integer(index) && json_integer_value(index) >= 0 && json_integer_value(index) <= INDEX_MAX;
    return (struct address){.index = usable ? json_integer_value(index) : -1,
                            .id = text_at(delta, "id"),
                            .named = text_at(json_object_get(delta, "function"), "name") != NULL};
}

static bool is_at(const struct tool_call *call, const struct address *address)
{
    if (address->index >= 0)
        return call->index == address->index;
    return address->id == NULL || (call->id != NULL && strcmp(call->id, address->id) == 0);
}

static struct tool_call *find(const struct tool_call_fold *fold, const struct address *address)
{
    for (size_t i = fold->count; i-- > 0;)
        if (is_at(&fold->items[i], address))
            return &fold->items[i];
    return NULL;
}

/* Whether the delta is the first of a call of its own, though its address is one that is taken. */
static bool begins_another(const struct tool_call *call, const struct address *address)
{
    if (!address->named || call->name == NULL)
        return false;
    if (address->id == NULL)
        return address->index < 0;
    return call->id != NULL && strcmp(call->id, address->id) != 0;
}

static struct tool_call *open_call(struct tool_call_fold *fold, json_int_t index)
{
    if (index < 0)
        index = fold->count > 0 ? fold->items[fold->count - 1].index + 1 : 0;
    fold->items = xrealloc(fold->items, (fold->count + 1) * sizeof *fold->items);
    size_t at = fold->count++;
    while (at > 0 && fold->items[at - 1].index > index)
        at--;
    memmove(fold->items + at + 1, fold->items + at, (fold->count - 1 - at) * sizeof *fold->items);
    fold->items[at] = (struct tool_call){.index = index};
    return &fold->items[at];
}

/* ---- joining ---- */

enum status tool_call_add_function(struct tool_call *call, const json_t *function, size_t *bytes)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)function, name, value) {
        if (strcmp(name, "name") == 0) {
            tool_call_keep_first(&call->name, value, bytes);
        } else if (strcmp(name, "arguments") != 0) {
            if (member_fold_add(&call->of_function, name, value, bytes) != STATUS_OK)
                return STATUS_FAILED;
        } else if (json_is_string(value)) {
            text_buffer_append(&call->arguments, json_string_value(value), json_string_length(value));
            *bytes += json_written_size(json_string_value(value), json_string_length(value));
        }
    }
    return STATUS_OK;
}

static enum status add_members(struct tool_call *call, json_t *delta, size_t *bytes)
{
    enum status status = STATUS_OK;
    const char *name;
    json_t *value;
    json_object_foreach(delta, name, value) {
        if (strcmp(name, "id") == 0)
            tool_call_keep_first(&call->id, value, bytes);
        else if (strcmp(name, "type") == 0)
            tool_call_keep_first(&call->type, value, bytes);
        else if (strcmp(name, "function") == 0)
            status = tool_call_add_function(call, value, bytes);
        else if (strcmp(name, "index") != 0)
            status = member_fold_add(&call->others, name, value, bytes);
        if (status != STATUS_OK)
            break;
    }
    return status;
}

enum status tool_call_fold_add(struct tool_call_fold *fold, const json_t *deltas, size_t *bytes)
{
    for (size_t i = 0; i < json_array_size(deltas); i++) {
        json_t *delta = json_array_get(deltas, i);
        if (!json_is_object(delta))
            continue;
        struct address address = address_of(delta);
        struct tool_call *call = find(fold, &address);
        if (call == NULL || begins_another(call, &address)) {
            if (fold->count == TOOL_CALLS_MAX)
                return STATUS_FAILED;
            call = open_call(fold, address.index);
        }
        if (add_members(call, delta, bytes) != STATUS_OK)
            return STATUS_FAILED;
    }
    return STATUS_OK;
}

/* ---- the whole ---- */

static void add_others(json_t *whole, const struct member_fold *others)
{
    json_t *members = member_fold_json(others);
    json_object_update(whole, members);
    json_decref(members);
}

json_t *tool_call_function_json(const struct tool_call *call)
{
    json_t *function = json_object();
    if (call->name != NULL)
        json_object_set_new(function, "name", json_string(call->name));
    json_object_set_new(function, "arguments", json_stringn(text_buffer_text(&call->arguments), call->arguments.size));
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
            json_object_set_new(whole, "id", json_string(call->id));
        json_object_set_new(whole, "type", json_string(call->type != NULL ? call->type : "function"));
        json_object_set_new(whole, "function", tool_call_function_json(call));
        add_others(whole, &call->others);
        json_array_append_new(calls, whole);
    }
    return calls;
}
