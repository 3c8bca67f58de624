#include "llm/member_fold.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "wire/json_writer.h"

#define INDEX_MAX INT32_MAX /* a larger one is ignored, so that index + 1 never overflows */
#define ITEM_COST 192 /* memory beside a name and a text: many small items are large, too */

void member_fold_finish(struct member_fold *fold)
{
    for (size_t i = 0; i < fold->count; i++)
        member_fold_finish(&fold->items[i]);
    free(fold->items);
    free(fold->name);
    text_buffer_finish(&fold->text);
    json_decref(fold->whole);
    *fold = (struct member_fold){0};
}

bool member_is_void(const json_t *value)
{
    return value == NULL || json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0) || (json_is_object(value) && json_object_size(value) == 0);
}

json_int_t member_index(const json_t *index)
{
    const char *text = json_string_value(index);
    size_t length = json_string_length(index);
    double real = json_real_value(index);
    json_int_t number = json_is_integer(index) ? json_integer_value(index) : -1;
    if (length > 0 && length < 10 && strspn(text, "0123456789") == length)
        number = atoi(text);
    else if (json_is_real(index) && real >= 0 && real <= INDEX_MAX && (double)(json_int_t)real == real)
        number = (json_int_t)real;
    return number >= 0 && number <= INDEX_MAX ? number : -1;
}

/* ---- which item ---- */

static struct member_fold *find(const struct member_fold *fold, const char *name, json_int_t index)
{
    for (size_t i = fold->count; i-- > 0;) {
        struct member_fold *item = &fold->items[i];
        if (name != NULL ? strcmp(item->name, name) == 0 : index >= 0 && item->index == index)
            return item;
    }
    return NULL;
}

static struct member_fold *open_item(struct member_fold *fold, const char *name, json_int_t index, size_t *bytes)
{
    if (fold->count == MEMBER_FOLD_ITEMS_MAX)
        return NULL;
    if ((fold->count & (fold->count - 1)) == 0) /* full at each power of two */
        fold->items = xrealloc(fold->items, (fold->count == 0 ? 1 : 2 * fold->count) * sizeof *fold->items);
    struct member_fold *item = &fold->items[fold->count++];
    *item = (struct member_fold){.name = name != NULL ? xstrdup(name) : NULL, .index = index};
    *bytes += ITEM_COST + (name != NULL ? strlen(name) : 0);
    return item;
}

/* ---- texts, and values of one delta ---- */

/* Is this a text with one value, which may be repeated, not continued? */
static bool is_said_whole(const char *name)
{
    static const char *const names[] = {"id", "type", "name", "role", "format", "object", "model", "status", "mime_type"};
    static const char seal[] = "signature";
    size_t length = name != NULL ? strlen(name) : 0;
    for (size_t i = 0; name != NULL && i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return length >= sizeof seal - 1 && strcmp(name + length - (sizeof seal - 1), seal) == 0;
}

static void add_text(struct member_fold *item, const json_t *value, size_t *bytes)
{
    const char *text = json_string_value(value);
    size_t size = json_string_length(value);
    if (size == 0)
        return;
    if (is_said_whole(item->name)) {
        *bytes -= json_written_size(text_buffer_text(&item->text), item->text.size);
        text_buffer_clear(&item->text);
    }
    text_buffer_append(&item->text, text, size);
    *bytes += json_written_size(text, size);
}

/* A tree's memory, counted as its items' would be. Recurses as deep as it is nested (JSON_DEPTH_MAX), as all functions here. */
static size_t cost_of(const json_t *value)
{
    size_t cost = json_is_string(value) ? json_written_size(json_string_value(value), json_string_length(value)) : 0, i;
    const char *name;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
        cost += ITEM_COST + strlen(name) + cost_of(member);
    json_array_foreach(value, i, member)
        cost += ITEM_COST + cost_of(member);
    return cost;
}

static enum member_kind kind_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING: return MEMBER_TEXT;
    case JSON_OBJECT: return MEMBER_OBJECT;
    case JSON_ARRAY: return MEMBER_ARRAY;
    case JSON_NULL: return MEMBER_NOTHING;
    default: return MEMBER_SCALAR;
    }
}

static bool is_void_item(const struct member_fold *item)
{
    return item->kind != MEMBER_SCALAR && item->text.size == 0 && item->count == 0 && member_is_void(item->whole);
}

/* The first value of an item. */
static void begin(struct member_fold *item, const json_t *value, size_t *bytes)
{
    *bytes -= cost_of(item->whole);
    json_decref(item->whole);
    item->whole = NULL;
    item->kind = kind_of(value);
    if (item->kind == MEMBER_TEXT) {
        add_text(item, value, bytes);
    } else {
        item->whole = json_incref((json_t *)(uintptr_t)value);
        *bytes += cost_of(value);
    }
}

/* ---- joining ---- */

static enum fold_fault add_value(struct member_fold *item, const json_t *value, size_t *bytes);

static enum fold_fault add_members(struct member_fold *object, const json_t *members, size_t *bytes)
{
    enum fold_fault fault = FOLD_FINE;
    const char *name;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)members, name, member)
        if (fault == FOLD_FINE)
            fault = member_fold_add(object, name, member, bytes);
    return fault;
}

static bool is_text_name(const char *name)
{
    return strcmp(name, "text") == 0 || strcmp(name, "thinking") == 0 || strcmp(name, "reasoning") == 0 || strcmp(name, "summary") == 0;
}

/* A part with only text, so that it may be a piece of one. */
static bool is_piece(const json_t *element)
{
    bool has_text = false;
    const char *name;
    json_t *member;
    if (json_string_length(json_object_get(element, "type")) == 0)
        return false;
    json_object_foreach((json_t *)(uintptr_t)element, name, member) {
        bool text = is_text_name(name) && (json_is_string(member) || json_is_array(member));
        has_text = has_text || text;
        if (!text && strcmp(name, "type") != 0 && strcmp(name, "signature") != 0 && !member_is_void(member))
            return false;
    }
    return has_text;
}

static enum fold_fault spread(struct member_fold *item, size_t *bytes);

/* Does the piece continue that item? *ret_fault: why that can't be decided. */
static bool goes_on(struct member_fold *item, const json_t *piece, size_t *bytes, enum fold_fault *ret_fault)
{
    const json_t *type = json_object_get(piece, "type");
    if (item->kind != MEMBER_OBJECT || item->index >= 0)
        return false;
    if ((*ret_fault = spread(item, bytes)) != FOLD_FINE)
        return false;
    const struct member_fold *own = find(item, "type", -1), *seal = find(item, "signature", -1), *id = find(item, "id", -1);
    bool sealed = (seal != NULL && !is_void_item(seal)) || (id != NULL && !is_void_item(id));
    return own != NULL && !sealed && own->text.size == json_string_length(type) &&
           memcmp(text_buffer_text(&own->text), json_string_value(type), own->text.size) == 0;
}

/* may_go_on: it is the first of its delta, so it may continue the last part. */
static enum fold_fault add_element(struct member_fold *array, const json_t *element, bool may_go_on, size_t *bytes)
{
    json_int_t at = member_index(json_object_get(element, "index"));
    enum fold_fault fault = FOLD_FINE;
    struct member_fold *item = find(array, NULL, at);
    if (item == NULL && at < 0 && may_go_on && array->count > 0 && is_piece(element) && goes_on(&array->items[array->count - 1], element, bytes, &fault))
        item = &array->items[array->count - 1];
    if (fault != FOLD_FINE)
        return fault;
    if (item == NULL && (item = open_item(array, NULL, at, bytes)) == NULL)
        return FOLD_TOO_MUCH;
    return add_value(item, element, bytes);
}

static enum fold_fault add_elements(struct member_fold *array, const json_t *elements, size_t *bytes)
{
    enum fold_fault fault = FOLD_FINE;
    for (size_t i = 0; fault == FOLD_FINE && i < json_array_size(elements); i++)
        fault = add_element(array, json_array_get(elements, i), i == 0, bytes);
    return fault;
}

static enum fold_fault add_all(struct member_fold *item, const json_t *value, size_t *bytes)
{
    return item->kind == MEMBER_OBJECT ? add_members(item, value, bytes) : add_elements(item, value, bytes);
}

/* Turns a value of one delta into items to which more can be joined. */
static enum fold_fault spread(struct member_fold *item, size_t *bytes)
{
    AUTO_JSON json_t *whole = steal_ptr(&item->whole);
    *bytes -= cost_of(whole);
    return add_all(item, whole, bytes);
}

static enum fold_fault add_value(struct member_fold *item, const json_t *value, size_t *bytes)
{
    enum member_kind kind = kind_of(value);
    if (kind == MEMBER_NOTHING)
        return FOLD_FINE;
    if (item->kind == MEMBER_NOTHING || (is_void_item(item) && kind != item->kind)) {
        begin(item, value, bytes);
        return FOLD_FINE;
    }
    if (item->kind != kind)
        return member_is_void(value) ? FOLD_FINE : FOLD_CONTRARY;
    if (kind == MEMBER_TEXT) {
        add_text(item, value, bytes);
        return FOLD_FINE;
    }
    if (kind == MEMBER_SCALAR) {
        json_decref(item->whole);
        item->whole = json_incref((json_t *)(uintptr_t)value);
        return FOLD_FINE;
    }
    enum fold_fault fault = item->whole != NULL ? spread(item, bytes) : FOLD_FINE;
    return fault == FOLD_FINE ? add_all(item, value, bytes) : fault;
}

enum fold_fault member_fold_add(struct member_fold *object, const char *name, const json_t *value, size_t *bytes)
{
    struct member_fold *item = find(object, name, -1);
    object->kind = MEMBER_OBJECT;
    if (item == NULL && (item = open_item(object, name, -1, bytes)) == NULL)
        return FOLD_TOO_MUCH;
    return add_value(item, value, bytes);
}

/* ---- the whole ---- */

enum member_kind member_fold_kind(const struct member_fold *object, const char *name)
{
    const struct member_fold *item = find(object, name, -1);
    return item != NULL ? item->kind : MEMBER_NOTHING;
}

bool member_fold_says(const struct member_fold *object, const char *name)
{
    const struct member_fold *item = find(object, name, -1);
    return item != NULL && !is_void_item(item);
}

static json_t *value_json(const struct member_fold *item)
{
    json_t *array;
    if (item->whole != NULL)
        return json_incref(item->whole);
    switch (item->kind) {
    case MEMBER_TEXT: return json_stringn_nocheck(text_buffer_text(&item->text), item->text.size);
    case MEMBER_OBJECT: return member_fold_json(item);
    case MEMBER_ARRAY:
        array = json_array();
        for (size_t i = 0; i < item->count; i++)
            json_array_append_new(array, value_json(&item->items[i]));
        return array;
    case MEMBER_SCALAR:
    case MEMBER_NOTHING: break;
    }
    return json_null();
}

json_t *member_fold_json(const struct member_fold *object)
{
    json_t *whole = json_object();
    for (size_t i = 0; i < object->count; i++)
        json_object_set_new_nocheck(whole, object->items[i].name, value_json(&object->items[i]));
    return whole;
}
