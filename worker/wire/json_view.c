#include "wire/json_view.h"

#include <string.h>

#include "base/alloc.h"
#include "wire/json_member.h"
#include "wire/json_walk.h"

/* ---- escapes ---- */

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    char low = (char)(c | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

/* The four digits of \uXXXX at text; -1: no such escape. */
static int32_t unit_at(const char *text, const char *end)
{
    if (end - text < 6 || text[0] != '\\' || text[1] != 'u')
        return -1;
    int32_t unit = 0;
    for (int i = 2; i < 6; i++) {
        int digit = hex_of(text[i]);
        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

struct json_escape json_escape_read(const char *text, const char *end)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    if (end - text < 2)
        return (struct json_escape){0};
    const char *letter = text[1] != '\0' ? strchr(letters, text[1]) : NULL;
    if (letter != NULL)
        return (struct json_escape){2, (uint32_t)meanings[letter - letters]};
    int32_t unit = unit_at(text, end);
    if (unit < 0 || (unit >= 0xDC00 && unit <= 0xDFFF))
        return (struct json_escape){0};
    if (unit < 0xD800 || unit > 0xDBFF)
        return (struct json_escape){6, (uint32_t)unit};
    int32_t low = unit_at(text + 6, end);
    if (low < 0xDC00 || low > 0xDFFF)
        return (struct json_escape){0};
    return (struct json_escape){12, (uint32_t)(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))};
}

static size_t put_utf8(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = size - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)(lead[size] | code);
    return size;
}

/* The next character's bytes, and how many; 0: the string's end. */
static size_t next_bytes(const char **at, const char *end, char out[4])
{
    if (*at >= end)
        return 0;
    if (**at != '\\') {
        out[0] = *(*at)++;
        return 1; /* also each byte of a longer character */
    }
    struct json_escape escape = json_escape_read(*at, end);
    *at += escape.size > 0 ? escape.size : 1;
    return put_utf8(escape.code, out);
}

/* ---- values ---- */

struct json_view json_view_of(const char *text, const char *end)
{
    if (text == NULL)
        return (struct json_view){0};
    const char *begin = json_skip_space(text, end);
    if (begin >= end)
        return (struct json_view){0};
    return (struct json_view){begin, (size_t)(json_value_end(begin, end) - begin)};
}

struct json_view json_view_of_text(const char *text)
{
    return text != NULL ? json_view_of(text, text + strlen(text)) : (struct json_view){0};
}

static bool is_string(struct json_view view)
{
    return view.size >= 2 && view.text[0] == '"';
}

int json_view_type(struct json_view view)
{
    if (view.size == 0)
        return JSON_VIEW_NONE;
    switch (view.text[0]) {
    case '{': return JSON_OBJECT;
    case '[': return JSON_ARRAY;
    case '"': return JSON_STRING;
    case 't': return JSON_TRUE;
    case 'f': return JSON_FALSE;
    case 'n': return JSON_NULL;
    default: break;
    }
    for (size_t i = 0; i < view.size; i++)
        if (view.text[i] == '.' || view.text[i] == 'e' || view.text[i] == 'E')
            return JSON_REAL;
    return JSON_INTEGER;
}

const char *json_view_kind(struct json_view view)
{
    switch (json_view_type(view)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a number with a fraction or exponent";
    case JSON_TRUE:
    case JSON_FALSE: return "a boolean";
    case JSON_NULL: return "null";
    default: return "nothing";
    }
}

void json_view_members(struct json_view object, const char *const *names, size_t count, struct json_view *ret)
{
    struct json_member member = {.at = object.text, .end = object.text + object.size};
    memset(ret, 0, count * sizeof *ret);
    while (object.size > 0 && json_member_next(&member))
        for (size_t i = 0; i < count; i++)
            if (json_member_is(&member, names[i]))
                ret[i] = (struct json_view){member.value, member.value_size};
}

struct json_view json_view_member(struct json_view object, const char *name)
{
    struct json_view found;
    json_view_members(object, &name, 1, &found);
    return found;
}

bool json_view_next(struct json_view array, struct json_view *at)
{
    if (array.size < 2 || array.text[0] != '[')
        return false;
    const char *end = array.text + array.size;
    const char *p = json_skip_space(at->text == NULL ? array.text + 1 : at->text + at->size, end);
    if (at->text != NULL && p < end && *p == ',')
        p = json_skip_space(p + 1, end);
    if (p >= end || *p == ']') {
        *at = (struct json_view){0};
        return false;
    }
    *at = json_view_of(p, end);
    return true;
}

bool json_view_is_filled(struct json_view view)
{
    if (view.size < 2 || strchr("{[\"", view.text[0]) == NULL)
        return false;
    return view.text[0] == '"' ? view.size > 2 : json_skip_space(view.text + 1, view.text + view.size) != view.text + view.size - 1;
}

bool json_view_is_filled_array(struct json_view view)
{
    return json_view_type(view) == JSON_ARRAY && json_view_is_filled(view);
}

/* ---- strings ---- */

bool json_text_means(const char *raw, size_t size, const char *text)
{
    if (size > 0 && raw[0] != '\\' && raw[0] != text[0]) /* most differ in the first character */
        return false;
    if (memchr(raw, '\\', size) == NULL)
        return strlen(text) == size && memcmp(raw, text, size) == 0;
    char bytes[4];
    const char *end = raw + size;
    for (size_t n; (n = next_bytes(&raw, end, bytes)) > 0; text += n)
        if (strncmp(text, bytes, n) != 0 || memchr(bytes, '\0', n) != NULL)
            return false;
    return *text == '\0';
}

bool json_view_is(struct json_view string, const char *text)
{
    return is_string(string) && json_text_means(string.text + 1, string.size - 2, text);
}

int json_view_compare(struct json_view a, struct json_view b)
{
    const char *p = a.text + 1, *p_end = a.text + a.size - 1;
    const char *q = b.text + 1, *q_end = b.text + b.size - 1;
    char left[4], right[4];
    size_t left_size = 0, right_size = 0, i = 0, j = 0;
    for (;; i++, j++) {
        if (i == left_size) {
            left_size = next_bytes(&p, p_end, left);
            i = 0;
        }
        if (j == right_size) {
            right_size = next_bytes(&q, q_end, right);
            j = 0;
        }
        if (left_size == 0 || right_size == 0)
            return (left_size > 0) - (right_size > 0);
        if (left[i] != right[j])
            return (unsigned char)left[i] < (unsigned char)right[j] ? -1 : 1;
    }
}

char *json_view_decode(struct json_view string, size_t *ret_size)
{
    if (!is_string(string))
        return NULL;
    const char *at = string.text + 1, *end = string.text + string.size - 1;
    char *plain = xmemdup0(at, (size_t)(end - at)), bytes[4]; /* no longer than the escaped text */
    size_t size = (size_t)(end - at);
    if (memchr(at, '\\', size) != NULL) {
        size = 0;
        for (size_t n; (n = next_bytes(&at, end, bytes)) > 0; size += n)
            memcpy(plain + size, bytes, n);
        plain[size] = '\0';
    }
    if (ret_size != NULL)
        *ret_size = size;
    return plain;
}
