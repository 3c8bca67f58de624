#include "wire/json_check.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "wire/job_scan.h"
#include "wire/json_view.h"
#include "wire/json_walk.h"

#define DIGITS_SAFE 300 /* a number so short and without an exponent is below the largest double */
#define LONG_NUMBER 16
#define FEW_NAMES 12    /* compared with one another; more are sorted */

struct name {
    uint64_t hash; /* of the unescaped name */
    size_t at;     /* of its opening quote */
};

struct level {
    bool is_object;
    size_t first_name;
};

struct checker {
    const char *text, *at, *end;
    bool unique;
    struct level levels[JSON_DEPTH_MAX];
    size_t depth;
    struct name *names; /* of all open objects; owned */
    size_t name_count, name_room;
    size_t depth_max;
    struct json_oddities odd;
    struct json_fault fault;
};

static bool fail_at(struct checker *c, enum json_fault_kind kind, const char *at)
{
    c->fault = (struct json_fault){kind, (size_t)(at - c->text)};
    return false;
}

static bool fail(struct checker *c, enum json_fault_kind kind)
{
    return fail_at(c, kind, c->at);
}

static void skip_space(struct checker *c)
{
    c->at = json_skip_space(c->at, c->end);
}

static bool is_digit(const struct checker *c)
{
    return c->at < c->end && *c->at >= '0' && *c->at <= '9';
}

/* ---- tokens: each from its first byte to behind its last ---- */

static bool is_unicode_escape(const char *at, const char *end)
{
    return end - at >= 6 && at[1] == 'u' && isxdigit((unsigned char)at[2]) && isxdigit((unsigned char)at[3]) &&
           isxdigit((unsigned char)at[4]) && isxdigit((unsigned char)at[5]);
}

static bool string(struct checker *c, bool *ret_nul)
{
    const char *half = NULL; /* of a surrogate pair: the first */
    for (c->at++; c->at < c->end && *c->at != '"';) {
        if ((unsigned char)*c->at < ' ')
            return fail(c, JSON_MALFORMED);
        if (*c->at != '\\') {
            c->at++;
            continue;
        }
        struct json_escape escape = json_escape_read(c->at, c->end);
        if (escape.size == 0 && !is_unicode_escape(c->at, c->end))
            return fail(c, JSON_MALFORMED);
        if (escape.size == 0 && half == NULL)
            half = c->at;
        *ret_nul = *ret_nul || (escape.size > 0 && escape.code == 0);
        c->at += escape.size > 0 ? escape.size : 6;
    }
    if (c->at == c->end)
        return fail(c, JSON_ENDS_EARLY);
    c->at++;
    return half == NULL || fail_at(c, JSON_HALF_PAIR, half);
}

/* Does it fit into a double or a 64-bit integer? Its syntax is right. */
static bool is_in_range(const char *number, size_t size, bool is_real)
{
    char few[64];
    AUTO_FREE char *many = size < sizeof few ? NULL : xmemdup0(number, size);
    if (many == NULL) {
        memcpy(few, number, size);
        few[size] = '\0';
    }
    const char *text = many != NULL ? many : few;
    errno = 0;
    if (is_real) {
        double value = strtod(text, NULL);
        return !(errno == ERANGE && (value == HUGE_VAL || value == -HUGE_VAL));
    }
    (void)strtoll(text, NULL, 10);
    return errno != ERANGE;
}

static bool number(struct checker *c)
{
    const char *begin = c->at;
    bool is_real = false, has_exponent = false;
    c->at += *c->at == '-';
    if (!is_digit(c))
        return fail(c, JSON_MALFORMED);
    bool zero = *c->at++ == '0';
    if (zero && is_digit(c))
        return fail(c, JSON_MALFORMED);
    while (is_digit(c))
        c->at++;
    if (c->at < c->end && *c->at == '.') {
        is_real = true;
        c->at++;
        if (!is_digit(c))
            return fail(c, JSON_MALFORMED);
        while (is_digit(c))
            c->at++;
    }
    if (c->at < c->end && (*c->at == 'e' || *c->at == 'E')) {
        is_real = has_exponent = true;
        c->at++;
        c->at += c->at < c->end && (*c->at == '+' || *c->at == '-');
        if (!is_digit(c))
            return fail(c, JSON_MALFORMED);
        while (is_digit(c))
            c->at++;
    }
    size_t size = (size_t)(c->at - begin);
    c->odd.has_long_number = c->odd.has_long_number || size >= LONG_NUMBER;
    if (is_real ? !has_exponent && size < DIGITS_SAFE : size < 19)
        return true;
    return is_in_range(begin, size, is_real) || fail(c, JSON_OUT_OF_RANGE);
}

static bool word(struct checker *c)
{
    const char *begin = c->at;
    while (c->at < c->end && ((*c->at | 0x20) >= 'a' && (*c->at | 0x20) <= 'z'))
        c->at++;
    size_t size = (size_t)(c->at - begin);
    return (size == 4 && (memcmp(begin, "true", 4) == 0 || memcmp(begin, "null", 4) == 0)) ||
           (size == 5 && memcmp(begin, "false", 5) == 0) || fail(c, JSON_MALFORMED);
}

static bool scalar(struct checker *c)
{
    if (*c->at == '"')
        return string(c, &c->odd.has_nul);
    if (*c->at == '-' || is_digit(c))
        return number(c);
    if ((*c->at | 0x20) >= 'a' && (*c->at | 0x20) <= 'z')
        return word(c);
    c->at++;
    return fail(c, JSON_MALFORMED);
}

/* Another token was expected here; a fault within the present one is reported first. */
static bool unexpected(struct checker *c)
{
    if (c->at == c->end)
        return fail(c, JSON_ENDS_EARLY);
    if (strchr("{}[]:,", *c->at) != NULL)
        c->at++;
    else if (!scalar(c))
        return false;
    return fail(c, JSON_MALFORMED);
}

/* ---- names ---- */

static struct json_view name_view(const struct checker *c, const struct name *name)
{
    return json_view_of(c->text + name->at, c->end);
}

static uint64_t hash_of(struct json_view name)
{
    const char *raw = name.text + 1;
    size_t size = name.size - 2;
    if (memchr(raw, '\\', size) == NULL)
        return XXH3_64bits(raw, size);
    AUTO_FREE char *plain = json_view_decode(name, &size);
    return XXH3_64bits(plain, size);
}

static void add_name(struct checker *c, const char *begin)
{
    c->names = xgrow(c->names, &c->name_room, c->name_count + 1, sizeof *c->names);
    struct json_view name = {begin, (size_t)(c->at - begin)};
    c->names[c->name_count++] = (struct name){hash_of(name), (size_t)(begin - c->text)};
}

/* By hash, then by unescaped name, then by place: so collisions can't make it slow. */
static int compare_names(const void *a, const void *b, void *arg)
{
    const struct name *one = a, *other = b;
    if (one->hash != other->hash)
        return one->hash < other->hash ? -1 : 1;
    int meaning = json_view_compare(name_view(arg, one), name_view(arg, other));
    if (meaning != 0)
        return meaning;
    return one->at < other->at ? -1 : one->at > other->at;
}

/* The quote before the first repeated name of a level, or NULL. */
static const char *first_repeat(struct checker *c, const struct level *level, size_t end)
{
    struct name *names = c->names + level->first_name;
    size_t count = end - level->first_name;
    if (count < 2)
        return NULL;
    if (count <= FEW_NAMES) {
        for (size_t i = 1; i < count; i++)
            for (size_t j = 0; j < i; j++)
                if (names[i].hash == names[j].hash && json_view_compare(name_view(c, &names[i]), name_view(c, &names[j])) == 0)
                    return c->text + names[i].at;
        return NULL;
    }
    size_t first = SIZE_MAX;
    qsort_r(names, count, sizeof *names, compare_names, c);
    for (size_t i = 1; i < count; i++)
        if (names[i].hash == names[i - 1].hash && names[i].at < first &&
            json_view_compare(name_view(c, &names[i]), name_view(c, &names[i - 1])) == 0)
            first = names[i].at;
    return first == SIZE_MAX ? NULL : c->text + first;
}

/* Names are compared when their object closes, or at a fault: an earlier repeated name takes precedence. */
static void look_for_repeats(struct checker *c, size_t from)
{
    size_t end = c->name_count;
    for (size_t i = c->depth; c->unique && i-- > from;) {
        const char *repeat = c->levels[i].is_object ? first_repeat(c, &c->levels[i], end) : NULL;
        end = c->levels[i].first_name;
        if (repeat == NULL)
            continue;
        struct json_view name = json_view_of(repeat, c->end);
        size_t at = (size_t)(name.text - c->text) + name.size;
        if (c->fault.kind == JSON_FINE || at <= c->fault.at)
            c->fault = (struct json_fault){JSON_TWICE, at};
    }
}

/* ---- structure ---- */

static bool open_level(struct checker *c)
{
    if (c->depth == c->depth_max)
        return fail(c, JSON_TOO_DEEP);
    c->levels[c->depth++] = (struct level){.is_object = *c->at++ == '{', .first_name = c->name_count};
    return true;
}

static bool close_level(struct checker *c)
{
    c->at++;
    if (c->levels[c->depth - 1].is_object)
        look_for_repeats(c, c->depth - 1);
    if (c->fault.kind != JSON_FINE)
        return false;
    c->name_count = c->levels[--c->depth].first_name;
    return true;
}

static char closing(const struct checker *c)
{
    return c->levels[c->depth - 1].is_object ? '}' : ']';
}

static bool name_and_colon(struct checker *c)
{
    const char *begin = c->at;
    bool nul = false;
    if (c->at == c->end || *c->at != '"')
        return unexpected(c);
    if (!string(c, &nul))
        return false;
    if (nul)
        return fail(c, JSON_NUL_IN_NAME);
    if (c->unique)
        add_name(c, begin);
    skip_space(c);
    if (c->at == c->end || *c->at != ':')
        return unexpected(c);
    c->at++;
    return true;
}

/* From where a value (in an object: a name) is expected to behind the value, or, if it opens an object or array, behind the bracket. */
static bool value(struct checker *c)
{
    skip_space(c);
    if (c->depth > 0 && c->levels[c->depth - 1].is_object && !name_and_colon(c))
        return false;
    skip_space(c);
    if (c->at == c->end)
        return fail(c, JSON_ENDS_EARLY);
    return *c->at == '{' || *c->at == '[' ? open_level(c) : scalar(c);
}

/* Behind a value: moves to where the next one is expected, or to the end (depth 0). */
static bool after_value(struct checker *c)
{
    for (skip_space(c); c->depth > 0; skip_space(c)) {
        if (c->at == c->end || (*c->at != ',' && *c->at != closing(c)))
            return unexpected(c);
        if (*c->at == ',') {
            c->at++;
            return true;
        }
        if (!close_level(c))
            return false;
    }
    return true;
}

static bool whole(struct checker *c)
{
    do {
        size_t before = c->depth;
        if (!value(c))
            return false;
        bool opened = c->depth > before;
        if (opened)
            skip_space(c);
        if (opened && (c->at == c->end || *c->at != closing(c)))
            continue;
        if (!after_value(c))
            return false;
    } while (c->depth > 0);
    if (c->at == c->end)
        return true;
    bool is_string = *c->at == '"';
    if (!scalar(c) && (is_string || c->fault.kind != JSON_MALFORMED))
        return false; /* the following token is malformed itself */
    return fail(c, JSON_GOES_ON);
}

static struct json_fault check(struct checker *c)
{
    if (!whole(c))
        look_for_repeats(c, 0);
    free(c->names);
    return c->fault;
}

struct json_fault json_check(const char *text, size_t size, bool unique)
{
    return check(&(struct checker){.text = text, .at = text, .end = text + size, .unique = unique, .depth_max = JSON_DEPTH_MAX});
}

struct json_fault json_check_within(const char *text, size_t size, size_t depth_max, struct json_oddities *ret)
{
    struct checker c = {.text = text, .at = text, .end = text + size, .unique = true, .depth_max = depth_max};
    struct json_fault fault = check(&c);
    if (ret != NULL)
        *ret = c.odd;
    return fault;
}

bool json_text_is_valid(const char *text, size_t size)
{
    return utf8_invalid_at(text, size) == SCAN_NOWHERE && json_check(text, size, true).kind == JSON_FINE;
}
