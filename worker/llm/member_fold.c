#include "llm/member_fold.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "wire/json_writer.h"

#define ITEM_COST 192 /* what is kept beside a name and a text: many small ones are large, too */

void member_fold_finish(struct member_fold *fold)
{
    for (size_t i = 0; i < fold->count; i++)
        member_fold_finish(&fold->items[i]);
    free(fold->items);
    free(fold->name);
    text_buffer_finish(&fold->text);
    json_decref(fold->scalar);
    *fold = (struct member_fold){0};
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

/* ---- joining ---- */

/* Of such a text there is but one, which may be said again. */
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

static enum status add_value(struct member_fold *item, const json_t *value, size_t *bytes);

static enum status add_element(struct member_fold *array, const json_t *element, size_t *bytes)
{
    const json_t *index = json_object_get(element, "index");
    json_int_t at = json_is_integer(index) && json_integer_value(index) >= 0 ? json_integer_value(index) : -1;
    struct member_fold *item = find(array, NULL, at);
    if (item == NULL && (item = open_item(array, NULL, at, bytes)) == NULL)
        return STATUS_FAILED;
    return add_value(item, element, bytes);
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

/* Recurses as deep as the value is nested (JSON_DEPTH_MAX). */
static enum status add_value(struct member_fold *item, const json_t *value, size_t *bytes)
{
    enum member_kind kind = kind_of(value);
    enum status status = STATUS_OK;
    const char *name;
    json_t *member;
    if (kind == MEMBER_NOTHING || (item->kind != MEMBER_NOTHING && item->kind != kind))
        return STATUS_OK;
    item->kind = kind;
    if (kind == MEMBER_TEXT)
        add_text(item, value, bytes);
    if (kind == MEMBER_SCALAR) {
        json_decref(item->scalar);
        item->scalar = json_incref((json_t *)(uintptr_t)value);
    }
    for (size_t i = 0; status == STATUS_OK && i < json_array_size(value); i++)
        status = add_element(item, json_array_get(value, i), bytes);
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
        if (status == STATUS_OK)
            status = member_fold_add(item, name, member, bytes);
    return status;
}

enum status member_fold_add(struct member_fold *object, const char *name, const json_t *value, size_t *bytes)
{
    struct member_fold *item = find(object, name, -1);
    object->kind = MEMBER_OBJECT;
    if (json_is_null(value))
        return STATUS_OK;
    if (item == NULL && (item = open_item(object, name, -1, bytes)) == NULL)
        return STATUS_FAILED;
    return add_value(item, value, bytes);
}

/* ---- the whole ---- */

static json_t *value_json(const struct member_fold *item)
{
    json_t *array;
    switch (item->kind) {
    case MEMBER_TEXT: return json_stringn(text_buffer_text(&item->text), item->text.size);
    case MEMBER_SCALAR: return json_incref(item->scalar);
    case MEMBER_OBJECT: return member_fold_json(item);
    case MEMBER_ARRAY:
        array = json_array();
        for (size_t i = 0; i < item->count; i++)
            json_array_append_new(array, value_json(&item->items[i]));
        return array;
    case MEMBER_NOTHING: break;
    }
    return json_null();
}

json_t *member_fold_json(const struct member_fold *object)
{
    json_t *whole = json_object();
    for (size_t i = 0; i < object->count; i++)
        json_object_set_new(whole, object->items[i].name, value_json(&object->items[i]));
    return whole;
}
