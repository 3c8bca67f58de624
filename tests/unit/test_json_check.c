/* The reader without a tree against jansson: the same result for any text, the same values in it, and the same trees. And the memory of trees. */
#include "wire/json_check.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "wire/job_scan.h"
#include "wire/json_build.h"
#include "wire/json_member.h"
#include "wire/json_text.h"
#include "wire/json_view.h"

/* splitmix64: seeds in failure messages replay a case. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static enum json_fault_kind kind_of(const json_error_t *fault)
{
    switch (json_error_code(fault)) {
    case json_error_duplicate_key: return JSON_TWICE;
    case json_error_numeric_overflow: return JSON_OUT_OF_RANGE;
    case json_error_null_byte_in_key: return JSON_NUL_IN_NAME;
    case json_error_premature_end_of_input: return JSON_ENDS_EARLY;
    case json_error_end_of_input_expected: return JSON_GOES_ON;
    case json_error_stack_overflow: return JSON_TOO_DEEP;
    default: return JSON_MALFORMED;
    }
}

/* ---- the same values ---- */

static void expect_same(struct json_view view, const json_t *tree, const char *text);

static void expect_same_object(struct json_view view, const json_t *tree, const char *text)
{
    size_t count = 0;
    struct json_member member = {.at = view.text, .end = view.text + view.size};
    for (; json_member_next(&member); count++) {
        AUTO_FREE char *name = json_view_decode((struct json_view){member.name - 1, member.name_size + 2}, NULL);
        cr_assert(json_member_is(&member, name), "%s", text);
        expect_same((struct json_view){member.value, member.value_size}, json_object_get(tree, name), text);
        cr_assert_eq(json_view_member(view, name).text, member.value, "%s", text);
    }
    cr_assert_eq(count, json_object_size(tree), "%s", text);
}

static void expect_same(struct json_view view, const json_t *tree, const char *text)
{
    cr_assert_not_null(tree, "%s", text);
    cr_assert_eq(json_view_type(view), (int)json_typeof(tree), "%s: %.*s", text, (int)view.size, view.text);
    size_t size = 0;
    struct json_view at = {0};
    switch (json_typeof(tree)) {
    case JSON_OBJECT:
        expect_same_object(view, tree, text);
        cr_assert_eq(json_view_is_filled(view), json_object_size(tree) > 0);
        break;
    case JSON_ARRAY:
        for (; json_view_next(view, &at); size++)
            expect_same(at, json_array_get(tree, size), text);
        cr_assert_eq(size, json_array_size(tree), "%s", text);
        cr_assert_eq(json_view_is_filled(view), size > 0);
        break;
    case JSON_STRING: {
        AUTO_FREE char *plain = json_view_decode(view, &size);
        cr_assert_eq(size, json_string_length(tree), "%s", text);
        cr_assert_eq(memcmp(plain, json_string_value(tree), size + 1), 0, "%s", text);
        cr_assert_eq(json_view_is(view, plain), strlen(plain) == size, "%s", text);
        AUTO_FREE char *again = json_dumps(tree, JSON_ENCODE_ANY | JSON_ENSURE_ASCII); /* written in another way */
        cr_assert_eq(json_view_compare(view, json_view_of(again, again + strlen(again))), 0, "%s", text);
        cr_assert_eq(json_view_is_filled(view), size > 0);
        break;
    }
    default: break;
    }
}

/* Also the order of members, and each number's kind. */
static void expect_same_tree(const char *text, size_t size, const json_t *tree, uint64_t seed)
{
    AUTO_JSON json_t *built = json_build(text, size);
    AUTO_FREE char *ours = json_dumps(built, JSON_COMPACT), *theirs = json_dumps(tree, JSON_COMPACT);
    cr_assert_str_eq(ours, theirs, "seed %lu: %.*s", (unsigned long)seed, (int)size, text);
    cr_assert(json_equal(built, tree), "seed %lu: %.*s", (unsigned long)seed, (int)size, text);
}

static void expect_as_jansson(const char *text, size_t size, uint64_t seed)
{
    AUTO_FREE char *exact = memcpy(xcalloc(1, size), text, size); /* AddressSanitizer sees a read beyond the end */
    for (int unique = 0; unique < 2; unique++) {
        json_error_t fault;
        AUTO_JSON json_t *tree = json_loadb(exact, size, JSON_ALLOW_NUL | JSON_DECODE_ANY | (unique ? JSON_REJECT_DUPLICATES : 0), &fault);
        struct json_fault got = json_check(exact, size, unique);
        if (got.kind == JSON_HALF_PAIR)
            got.kind = JSON_MALFORMED; /* which jansson doesn't distinguish */
        cr_assert_eq(got.kind, tree != NULL ? JSON_FINE : kind_of(&fault), "seed %lu: %.*s: %d at %zu; jansson: %s at %d", (unsigned long)seed, (int)size,
                     exact, got.kind, got.at, tree != NULL ? "fine" : fault.text, tree != NULL ? 0 : fault.position);
        if (got.kind == JSON_TWICE)
            cr_assert_eq(got.at, (size_t)fault.position, "seed %lu: %.*s", (unsigned long)seed, (int)size, exact);
        if (got.kind == JSON_FINE && unique)
            expect_same(json_view_of(exact, exact + size), tree, text);
        if (got.kind == JSON_FINE && (json_is_object(tree) || json_is_array(tree)))
            expect_same_tree(exact, size, tree, seed);
    }
}

Test(json_check, agrees_with_jansson_on_what_is_known_to_differ_elsewhere)
{
    static const char *const texts[] = {
        "{}", "[]", " [ ] ", "{ }", "0", "-0", "-", "01", "-01", "1.", "1.0", ".5", "1e", "1e5", "1E+5", "1e+", "1.5e-3", "+1", "1 2", "00", "0x1", "NaN", "Infinity", "-Infinity",
        "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "99999999999999999999", "1e308", "1e309", "-1e309", "1e-400",
        "1.7976931348623157e308", "1.7976931348623159e308", "[1e999,", "[1e999 \"", "true", "True", "tru", "truefalse", "nul", "null", "nullx", "[true false]",
        "\"\"", "\"a", "\"", "\"\\", "\"\\\"", "\"\\x\"", "\"\\u12", "\"\\u12g4\"", "\"\\u0000\"", "\"\\ud83d\\ude00\"", "\"\\ud83d\"", "\"\\ude00\"", "\"\\ud83d\\u0041\"", "\"\\ud83d",
        "\"\t\"", "\"\n\"", "\"\x7f\"", "\"\\/\\b\\f\"", "{\"a\\u0000\":1}", "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}", "{\"a\":{\"b\":1,\"b\":2},\"a\":3}", "{\"a\":1,\"a\":{\"b\":1,\"b\":2}}",
        "{\"a\":1,\"a\":", "{\"a\":1,\"a\"", "{\"a\":1,\"a\":2,", "{\"a\":[{\"b\":1},{\"b\":2}]}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{,}", "{1:2}", "{\"a\" 1}", "{\"a\"::1}", "[,]", "[1,]", "[1,,2]", "[", "{", "]",
        "}", "[}", "{]", "[1", "[1 2]", "[\"a\" \"b]", "{} {}", "{} x", "{} \"abc", "{} \"\\q\"", "{} 1e999", "{} 01", "{} ,", "nullnull", "", " ", "\xEF\xBB\xBF{}", "[1]\n\r\t ", "\v[1]", "hello", "[hello", "'a'", "{a:1}", "//", "[1/**/]",
        "{\"\":1,\"\":2}", "{\"\":1}", "[[[[]]]]", "{\"a\":{\"a\":{\"a\":1}}}",
        "[\"a\\\"b\",1]", "[\"\\\\\",\"\\\\\\\"\",1]", "{\"a\\\\\":\"\\\\\\\"]\",\"\\\"\":[\"\\\"\"]}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect_as_jansson(texts[i], strlen(texts[i]), i);
}

Test(json_check, agrees_with_jansson_on_many_names)
{
    for (size_t count = 2; count <= 4000; count = count * 3 / 2 + 1) {
        AUTO_FREE char *text = xcalloc(1, count * 24 + 64);
        for (int twice = 0; twice < 2; twice++) {
            char *end = text + sprintf(text, "[{");
            for (size_t i = 0; i < count; i++)
                end += sprintf(end, i % 3 == 0 ? "\"n%zu\":{}," : "\"\\u006e%zu\":1,", twice && i == count - 1 ? count / 2 : i);
            sprintf(end, "\"z\":0}]");
            expect_as_jansson(text, strlen(text), count);
        }
    }
}

/* Texts that are mostly JSON, made of difficult pieces. */
static size_t write_random(uint64_t *random, char *out, size_t room, int depth)
{
    static const char *const scalars[] = {"0", "-1", "1.5", "1e3", "1e999", "9223372036854775808", "true", "false", "null", "\"\"", "\"a\"", "\"\\u0061\"", "\"\\n\"", "\"\\ud83d\\ude00\"", "\"\xF0\x9F\x98\x80\"",
                                          "\"\\u0000\"", "\"[{,:\"", "\"\\\\\"", "\"\\ud800\"", "01", "\"\xC3\xA9\""};
    static const char *const names[] = {"a", "b", "\\u0061", "c\\n", "", "d", "\xC3\xA9", "\\u00e9", "e\\u0000", "messages"};
    static const char *const spaces[] = {"", "", "", " ", "\n\t"};
    size_t size = 0, rare = next_random(random) % 40;
#define PUT(piece) size += (size_t)snprintf(out + size, room - size, "%s", piece), size = size < room ? size : room - 1
    if (depth == 0 || next_random(random) % 3 == 0) {
        PUT(scalars[next_random(random) % (rare < 6 ? sizeof scalars / sizeof *scalars : 4)]);
        return size;
    }
    bool object = next_random(random) % 2;
    PUT(object ? "{" : "[");
    for (uint64_t i = 0, n = next_random(random) % 5; i < n; i++) {
        PUT(i > 0 ? "," : "");
        PUT(spaces[next_random(random) % 5]);
        if (object) {
            PUT("\"");
            PUT(names[next_random(random) % (rare == 7 ? 10 : 8)]);
            if (next_random(random) % 3 != 0)
                size += (size_t)snprintf(out + size, room - size, "%d", (int)(next_random(random) % 50)), size = size < room ? size : room - 1;
            PUT("\":");
        }
        size += write_random(random, out + size, room - size, depth - 1);
        PUT(spaces[next_random(random) % 5]);
    }
    PUT(object ? "}" : "]");
    return size;
}

Test(json_check, agrees_with_jansson_on_random_texts, .timeout = 300)
{
    static const char spice[] = "\"\\{}[]:,0u9e-.\n t";
    int fine = 0, faulty = 0;
    for (uint64_t seed = 1; seed <= 200000; seed++) {
        uint64_t random = seed;
        char text[400];
        size_t size = write_random(&random, text, sizeof text, 4);
        for (uint64_t n = next_random(&random) % 3; n > 0 && size > 0 && seed % 2; n--)
            text[next_random(&random) % size] = spice[next_random(&random) % (sizeof spice - 1)];
        if (next_random(&random) % 6 == 0)
            size = next_random(&random) % (size + 1);
        if (utf8_invalid_at(text, size) != SCAN_NOWHERE)
            continue; /* looked at before */
        text[size] = '\0';
        expect_as_jansson(text, size, seed);
        *(json_check(text, size, true).kind == JSON_FINE ? &fine : &faulty) += 1;
    }
    cr_expect(fine > 20000 && faulty > 20000, "%d fine, %d faulty", fine, faulty);
}

Test(json_check, depth_has_a_limit)
{
    char text[2 * JSON_DEPTH_MAX + 8];
    for (size_t levels = JSON_DEPTH_MAX - 1; levels <= JSON_DEPTH_MAX + 1; levels++) {
        memset(text, '[', levels);
        memset(text + levels, ']', levels);
        cr_expect_eq(json_check(text, 2 * levels, true).kind, levels <= JSON_DEPTH_MAX ? JSON_FINE : JSON_TOO_DEEP, "%zu", levels);
    }
}

/* ---- the memory of trees ---- */

static size_t held, held_max;

static void *counting_malloc(size_t size)
{
    void *piece = malloc(size);
    held += alloc_bytes(size);
    held_max = held > held_max ? held : held_max;
    return piece;
}

static void counting_free(void *piece)
{
    held -= piece != NULL ? malloc_usable_size(piece) : 0; /* near enough: only the maximum of one text is read */
    free(piece);
}

static char *repeated(const char *before, const char *piece, const char *after, size_t bytes)
{
    size_t size = strlen(piece), count = bytes / size;
    char *text = xcalloc(1, strlen(before) + count * size + strlen(after) + 1), *end = stpcpy(text, before);
    for (size_t i = 0; i < count; i++)
        end = stpcpy(end, piece);
    strcpy(end - 1, after); /* in the place of the last comma */
    return text;
}

Test(json_text, a_tree_has_a_bound_whatever_the_text)
{
    static const char *const pieces[] = {"{},", "[],", "0,", "\"\",", "[[[]]],", "{\"a\":{}},", "{\"a\":0,\"b\":0,\"c\":0,\"d\":0,\"e\":0,\"f\":0,\"g\":0,\"h\":0,\"i\":0},",
                                         "\"0123456789012345678901234567890123456789\",", "1.5,", "{\"a\":[0,0,0]},"};
    json_set_alloc_funcs(counting_malloc, counting_free);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        bool loaded = false, refused = false;
        for (size_t bytes = 256; bytes <= 8 * 1024 * 1024; bytes *= 2) {
            AUTO_FREE char *text = repeated("{\"choices\":[", pieces[i], "]}", bytes);
            held = held_max = 0;
            json_t *tree = json_text_load(text, strlen(text));
            cr_expect_leq(held_max, JSON_TREE_BYTES_MAX + 4 * strlen(text), "%s: %zu bytes for %zu", pieces[i], held_max, strlen(text));
            if (bytes > 1024 * 1024 && pieces[i][0] != '"' )
                cr_expect_leq(held_max, JSON_TREE_BYTES_MAX + strlen(text), "%s", pieces[i]);
            loaded = loaded || tree != NULL;
            refused = refused || tree == NULL;
            json_decref(tree);
        }
        cr_expect(loaded && refused, "%s: %d %d", pieces[i], loaded, refused);
    }
    json_set_alloc_funcs(malloc, free);
}
