#include "wire/json_repair.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/byte_order_mark.h"
#include "base/cleanup.h"
#include "wire/job_scan.h"
#include "wire/json_check.h"
#include "wire/json_member.h"
#include "wire/json_text.h"
#include "wire/json_view.h"
#include "wire/json_walk.h"
#include "wire/utf8_mend.h"

#define GROWTH_MAX(size) ((size) / 8 + 1024)
#define ROOM_MIN 1024

struct repairer {
    const char *at, *end;
    char *out; /* owned; room for `room` bytes and a NUL */
    size_t size, room, size_max;
    bool full;
};

/* Grows as the value needs it, since a body may continue with a million others. */
static void make_room(struct repairer *r, size_t more)
{
    size_t wanted = r->size + more;
    if (r->out != NULL && wanted <= r->room)
        return;
    r->room = 2 * r->room > wanted ? 2 * r->room : wanted > ROOM_MIN ? wanted : ROOM_MIN;
    if (r->room > r->size_max)
        r->room = r->size_max;
    r->out = xrealloc(r->out, r->room + 1);
}

static void put(struct repairer *r, const char *bytes, size_t size)
{
    if (r->full || size > r->size_max - r->size) {
        r->full = true;
        return;
    }
    make_room(r, size);
    memcpy(r->out + r->size, bytes, size);
    r->size += size;
}

/* Leaves one blank, so that tokens stay separate. */
static void skip_space(struct repairer *r)
{
    const char *begin = r->at;
    r->at = json_skip_space(r->at, r->end);
    if (r->at > begin)
        put(r, " ", 1);
}

/* ---- strings ---- */

static void put_control(struct repairer *r, char c)
{
    static const char digits[] = "0123456789abcdef";
    put(r, (const char[]){'\\', 'u', '0', '0', digits[(c >> 4) & 1], digits[c & 15]}, 6);
}

/* The unit of \uXXXX at text, if it is half a pair without its other half; else 0. */
static uint32_t lone_half(const char *text, const char *end)
{
    char digits[5] = {0};
    if (end - text < 6 || text[1] != 'u')
        return 0;
    memcpy(digits, text + 2, 4);
    if (strspn(digits, "0123456789abcdefABCDEF") < 4)
        return 0;
    uint32_t unit = (uint32_t)strtoul(digits, NULL, 16);
    return unit >= 0xD800 && unit <= 0xDFFF ? unit : 0;
}

/* False: not an escape. */
static bool escape(struct repairer *r, bool *ret_nul)
{
    struct json_escape escape = json_escape_read(r->at, r->end);
    uint32_t half = escape.size == 0 ? lone_half(r->at, r->end) : 0;
    char bytes[UTF8_HALF_BYTES];
    if (escape.size == 0 && half == 0)
        return false;
    *ret_nul = *ret_nul || (escape.size > 0 && escape.code == 0);
    if (half != 0) {
        utf8_put_half(half, bytes);
        put(r, bytes, sizeof bytes);
    } else {
        put(r, r->at, escape.size);
    }
    r->at += half != 0 ? 6 : (long)escape.size;
    return true;
}

/* In the output from `from` on. */
static void replace_nuls(struct repairer *r, size_t from)
{
    for (size_t i = from; i + 6 <= r->size; i++) {
        if (r->out[i] != '\\')
            continue;
        if (memcmp(r->out + i, "\\u0000", 6) == 0)
            memcpy(r->out + i, "\\ufffd", 6);
        i++; /* the escaped character */
    }
}

static bool string(struct repairer *r)
{
    size_t from = r->size;
    bool nul = false;
    put(r, r->at++, 1);
    while (r->at < r->end && *r->at != '"') {
        const char *run = r->at;
        while (r->at < r->end && *r->at != '"' && *r->at != '\\' && (unsigned char)*r->at >= ' ')
            r->at++;
        put(r, run, (size_t)(r->at - run));
        if (r->at == r->end || *r->at == '"')
            break;
        if (*r->at != '\\')
            put_control(r, *r->at++);
        else if (!escape(r, &nul))
            return false;
    }
    if (r->at == r->end)
        return false;
    put(r, r->at++, 1);
    const char *next = json_skip_space(r->at, r->end);
    if (nul && next < r->end && *next == ':')
        replace_nuls(r, from);
    return true;
}

/* ---- what isn't a string ---- */

static bool is_of_word(char c)
{
    return isalnum((unsigned char)c) || c == '+' || c == '-' || c == '.' || c == '_';
}

static bool is_no_number(const char *word, size_t size)
{
    static const char *const names[] = {"nan", "infinity", "inf"};
    if (size > 0 && (*word == '-' || *word == '+')) {
        word++;
        size--;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (size == strlen(names[i]) && strncasecmp(word, names[i], size) == 0)
            return true;
    return false;
}

static void word(struct repairer *r)
{
    const char *begin = r->at;
    while (r->at < r->end && is_of_word(*r->at))
        r->at++;
    size_t size = (size_t)(r->at - begin);
    if (is_no_number(begin, size)) {
        put(r, "null", 4);
        return;
    }
    bool quoted = (*begin == '-' || isdigit((unsigned char)*begin)) && json_check(begin, size, false).kind == JSON_OUT_OF_RANGE;
    if (quoted)
        put(r, "\"", 1);
    put(r, begin, size);
    if (quoted)
        put(r, "\"", 1);
}

/* One value, by its brackets alone: json_check checks the rest. False: it doesn't end. */
static bool value(struct repairer *r)
{
    size_t depth = 0;
    do {
        skip_space(r);
        if (r->at == r->end || r->full)
            return false;
        char c = *r->at;
        depth += c == '{' || c == '[';
        depth -= depth > 0 && (c == '}' || c == ']');
        if (c == '"') {
            if (!string(r))
                return false;
        } else if (is_of_word(c)) {
            word(r);
        } else {
            put(r, r->at++, 1);
        }
    } while (depth > 0);
    return !r->full;
}

/* Marks, white space, NULs. */
static void skip_front(struct repairer *r)
{
    size_t mark = 0;
    do {
        while (r->at < r->end && (json_is_space(*r->at) || *r->at == '\0'))
            r->at++;
        mark = byte_order_mark_size(r->at, (size_t)(r->end - r->at));
        r->at += mark;
    } while (mark > 0);
}

/* False: it would be too long. */
static bool mend(struct json_repaired *repaired, size_t size_max)
{
    if (utf8_mended_size(repaired->text, repaired->size) > size_max)
        return false;
    char *mended = utf8_mend(repaired->text, repaired->size, &repaired->size);
    free(repaired->text);
    repaired->text = mended;
    return true;
}

bool json_repair(const char *text, size_t size, enum json_halves halves, struct json_repaired *ret)
{
    struct repairer r = {.at = text, .end = text + size, .size_max = size + GROWTH_MAX(size)};
    skip_front(&r);
    if (r.at == r.end)
        return false;
    make_room(&r, 0);
    bool whole = value(&r);
    struct json_repaired repaired = {.text = r.out, .size = r.size, .read = (size_t)(r.at - text)};
    repaired.text[repaired.size] = '\0';
    repaired.ragged = whole && utf8_invalid_at(repaired.text, repaired.size) != SCAN_NOWHERE;
    bool fits = !repaired.ragged || halves == JSON_HALVES_KEPT || mend(&repaired, r.size_max);
    if (!whole || !fits || json_check(repaired.text, repaired.size, false).kind != JSON_FINE) {
        free(repaired.text);
        return false;
    }
    *ret = repaired;
    return true;
}

/* ---- trees ---- */

static json_t *tree_of(struct json_view view);

static json_t *object_of(struct json_view view)
{
    json_t *object = json_object();
    struct json_member member = {.at = view.text, .end = view.text + view.size};
    while (json_member_next(&member)) {
        size_t size;
        AUTO_FREE char *raw = json_view_decode((struct json_view){member.name - 1, member.name_size + 2}, &size);
        AUTO_FREE char *name = utf8_mend(raw, size, NULL); /* a name isn't cut */
        json_object_set_new_nocheck(object, name, tree_of((struct json_view){member.value, member.value_size}));
    }
    return object;
}

static json_t *array_of(struct json_view view)
{
    json_t *array = json_array();
    struct json_view element = {0};
    while (json_view_next(view, &element))
        json_array_append_new(array, tree_of(element));
    return array;
}

static json_t *text_of(struct json_view view)
{
    size_t size;
    AUTO_FREE char *text = json_view_decode(view, &size);
    return json_stringn_nocheck(text, size);
}

/* Recurses as deep as the value is nested (JSON_DEPTH_MAX). */
static json_t *tree_of(struct json_view view)
{
    switch (json_view_type(view)) {
    case JSON_OBJECT: return object_of(view);
    case JSON_ARRAY: return array_of(view);
    case JSON_STRING: return text_of(view);
    default: return json_loadb(view.text, view.size, JSON_DECODE_ANY, NULL);
    }
}

json_t *json_repaired_tree(const struct json_repaired *repaired)
{
    if (json_text_is_too_much(repaired->text, repaired->size))
        return NULL;
    return tree_of(json_view_of(repaired->text, repaired->text + repaired->size));
}

void json_tree_mend(json_t *tree)
{
    const char *name;
    json_t *member;
    size_t i;
    json_object_foreach(tree, name, member)
        json_tree_mend(member);
    json_array_foreach(tree, i, member)
        json_tree_mend(member);
    if (!json_is_string(tree) || utf8_invalid_at(json_string_value(tree), json_string_length(tree)) == SCAN_NOWHERE)
        return;
    size_t size;
    AUTO_FREE char *mended = utf8_mend(json_string_value(tree), json_string_length(tree), &size);
    json_string_setn_nocheck(tree, mended, size);
}
