#include "wire/json_build.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "wire/json_check.h"
#include "wire/json_view.h"
#include "wire/json_walk.h"

struct building {
    const char *at, *end;
    json_t *open[JSON_DEPTH_MAX]; /* objects and arrays that aren't closed yet, each within the one before */
    size_t depth;
};

struct string {
    const char *text;
    size_t size;
    char *decoded; /* owned; NULL: text is within the JSON */
};

/* From its opening quote; behind its closing one afterwards. */
static struct string take_string(struct building *b)
{
    const char *begin = b->at + 1, *close = json_string_end(begin, b->end);
    struct string string = {.text = begin, .size = (size_t)(close - begin)};
    b->at = close + 1;
    if (memchr(string.text, '\\', string.size) != NULL)
        string.text = string.decoded = json_view_decode((struct json_view){begin - 1, string.size + 2}, &string.size);
    return string;
}

static json_t *build_string(struct building *b)
{
    struct string string = take_string(b);
    json_t *value = json_stringn_nocheck(string.text, string.size);
    free(string.decoded);
    return value;
}

/* The text goes on behind a number: its object or array is closed. */
static json_t *build_number(struct building *b)
{
    const char *begin = b->at;
    bool is_real = false;
    for (; b->at < b->end && strchr(" \t\r\n,]}", *b->at) == NULL; b->at++)
        is_real = is_real || *b->at == '.' || *b->at == 'e' || *b->at == 'E';
    return is_real ? json_real(strtod(begin, NULL)) : json_integer(strtoll(begin, NULL, 10));
}

static json_t *build_word(struct building *b, size_t size, json_t *value)
{
    b->at += size;
    return value;
}

/* An object or an array comes back empty. */
static json_t *build_value(struct building *b)
{
    switch (*b->at) {
    case '{': return build_word(b, 1, json_object());
    case '[': return build_word(b, 1, json_array());
    case '"': return build_string(b);
    case 't': return build_word(b, sizeof "true" - 1, json_true());
    case 'f': return build_word(b, sizeof "false" - 1, json_false());
    case 'n': return build_word(b, sizeof "null" - 1, json_null());
    default: return build_number(b);
    }
}

static void skip_space(struct building *b)
{
    b->at = json_skip_space(b->at, b->end);
}

/* Builds the next member or element of the innermost object or array, and opens it if it can hold others. */
static void build_next(struct building *b)
{
    json_t *parent = b->open[b->depth - 1];
    struct string name = {0};
    bool is_member = json_is_object(parent);
    if (is_member) {
        name = take_string(b);
        skip_space(b);
        b->at++; /* the colon */
        skip_space(b);
    }
    json_t *value = build_value(b);
    if (value == NULL || (is_member ? json_object_setn_new_nocheck(parent, name.text, name.size, value) : json_array_append_new(parent, value)) != 0)
        abort(); /* memory */
    free(name.decoded);
    if (json_is_object(value) || json_is_array(value)) {
        assert(b->depth < JSON_DEPTH_MAX);
        b->open[b->depth++] = value;
    }
}

json_t *json_build(const char *text, size_t size)
{
    struct building b = {.at = text, .end = text + size};
    skip_space(&b);
    json_t *root = build_value(&b);
    if (root == NULL)
        abort(); /* memory */
    for (b.open[b.depth++] = root; b.depth > 0;) {
        skip_space(&b);
        if (*b.at == '}' || *b.at == ']')
            b.depth--;
        if (*b.at == '}' || *b.at == ']' || *b.at == ',')
            b.at++;
        else
            build_next(&b);
    }
    return root;
}
