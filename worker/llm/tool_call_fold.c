#include "llm/tool_call_fold.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "wire/json_writer.h"

#define INDEX_MAX INT32_MAX /* a larger one counts as none, so that one more is always a number */
#define MEMBER_COST 64      /* what jansson keeps beside a member's name and value: many small ones are large, too */

void tool_call_keep_first(char **kept, const json_t *value, size_t *bytes)
{
    const char *text = json_string_value(value);
    if (*kept != NULL || text == NULL || text[0] == '\0')
        return;
    *kept = xstrdup(text);
    *bytes += strlen(text);
}

static size_t cost_of(const char *name, const json_t *value)
{
    return MEMBER_COST + strlen(name) + json_dumpb(value, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
}

void tool_call_keep_last(json_t **kept, const char *name, json_t *value, size_t *bytes)
{
    const json_t *old = json_object_get(*kept, name);
    if (*kept == NULL)
        *kept = json_object();
    if (old != NULL)
        *bytes -= cost_of(name, old);
    *bytes += cost_of(name, value);
    json_object_set(*kept, name, value);
}

void tool_call_finish(struct tool_call *call)
{
    free(call->id);
    free(call->type);
    free(call->name);
    text_buffer_finish(&call->arguments);
    json_decref(call->others);
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

void tool_call_add_function(struct tool_call *call, const json_t *function, size_t *bytes)
{
    const json_t *arguments = json_object_get(function, "arguments");
    tool_call_keep_first(&call->name, json_object_get(function, "name"), bytes);
    if (json_is_string(arguments)) {
        text_buffer_append(&call->arguments, json_string_value(arguments), json_string_length(arguments));
        *bytes += json_written_size(json_string_value(arguments), json_string_length(arguments));
    }
}

static void add_members(struct tool_call *call, json_t *delta, size_t *bytes)
{
    const char *name;
    json_t *value;
    json_object_foreach(delta, name, value) {
        if (strcmp(name, "id") == 0)
            tool_call_keep_first(&call->id, value, bytes);
        else if (strcmp(name, "type") == 0)
            tool_call_keep_first(&call->type, value, bytes);
        else if (strcmp(name, "function") == 0)
            tool_call_add_function(call, value, bytes);
        else if (strcmp(name, "index") != 0 && !json_is_null(value))
            tool_call_keep_last(&call->others, name, value, bytes);
    }
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
        add_members(call, delta, bytes);
    }
    return STATUS_OK;
}

/* ---- the whole ---- */

json_t *tool_call_function_json(const struct tool_call *call)
{
    json_t *function = json_object();
    if (call->name != NULL)
        json_object_set_new(function, "name", json_string(call->name));
    json_object_set_new(function, "arguments", json_stringn(text_buffer_text(&call->arguments), call->arguments.size));
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
        json_object_update(whole, call->others);
        json_array_append_new(calls, whole);
    }
    return calls;
}
