/* Repair of text that is almost JSON, and of bytes that are almost UTF-8. */
#include "wire/json_repair.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "wire/job_scan.h"
#include "wire/json_check.h"
#include "wire/utf8_mend.h"

Test(utf8_mend, joins_halves_and_replaces_what_is_cut)
{
    static const struct {
        const char *bytes, *want;
    } rows[] = {
        {"", ""},
        {"a\xc3\xa9\xf0\x9f\x98\x80", "a\xc3\xa9\xf0\x9f\x98\x80"},
        {"caf\xc3", "caf\xef\xbf\xbd"},
        {"\xf0\x9f\x98", "\xef\xbf\xbd"},
        {"\xf0\x9f(", "\xef\xbf\xbd("},
        {"\xff\xfe", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\x80", "\xef\xbf\xbd"},
        {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"}, /* overlong */
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* over U+10FFFF */
        {"\xed\xa0\xbd\xed\xb8\x80", "\xf0\x9f\x98\x80"},
        {"\xed\xa0\xbd" "a", "\xef\xbf\xbd" "a"},
        {"\xed\xb8\x80\xed\xa0\xbd", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xed\xa0\xbd\xed\xa0\xbd\xed\xb8\x80", "\xef\xbf\xbd\xf0\x9f\x98\x80"},
        {"\xed\xa0", "\xef\xbf\xbd\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO_FREE char *exact = xmemdup0(rows[i].bytes, strlen(rows[i].bytes));
        size_t size;
        AUTO_FREE char *mended = utf8_mend(exact, strlen(rows[i].bytes), &size);
        cr_expect_str_eq(mended, rows[i].want, "row %zu", i);
        cr_expect_eq(size, strlen(rows[i].want), "row %zu", i);
    }
}

/* Bytes cut anywhere and mended piece by piece, except the open end of each, give the same as in one piece. */
Test(utf8_mend, an_open_end_waits_for_what_completes_it)
{
    static const char text[] = "a\xc3\xa9\xf0\x9f\x98\x80\xed\xa0\xbd\xed\xb8\x80z\xed\xa0\xbd\xe6\x97\xa5\xff\xed\xb8\x80\xf0\x9f";
    size_t whole_size;
    AUTO_FREE char *whole = utf8_mend(text, sizeof text - 1, &whole_size);
    for (size_t cut = 0; cut < sizeof text - 1; cut++) {
        size_t open = utf8_open_tail(text, cut), head_size, tail_size;
        cr_assert_leq(open, cut);
        cr_assert_leq(open, 6u);
        AUTO_FREE char *head = utf8_mend(text, cut - open, &head_size);
        AUTO_FREE char *tail = utf8_mend(text + cut - open, sizeof text - 1 - cut + open, &tail_size);
        AUTO_FREE char *joined = xasprintf("%s%s", head, tail);
        cr_expect_str_eq(joined, whole, "cut at %zu", cut);
    }
    cr_expect_eq(utf8_open_tail("abc", 3), 0u);
    cr_expect_eq(utf8_open_tail("\xf0\x9f\x98\x80", 4), 0u, "what is whole waits for nothing");
}

static void expect_repaired(const char *text, const char *want, const char *behind)
{
    AUTO_FREE char *exact = xmemdup0(text, strlen(text));
    struct json_repaired repaired;
    cr_assert(json_repair(exact, strlen(text), JSON_HALVES_MENDED, &repaired), "%s", text);
    cr_expect_str_eq(repaired.text, want, "%s", text);
    cr_expect_eq(repaired.size, strlen(want));
    cr_expect(json_check(repaired.text, repaired.size, false).kind == JSON_FINE);
    cr_expect_str_eq(exact + repaired.read, behind, "%s", text);
    free(repaired.text);
}

Test(json_repair, mends_what_was_meant)
{
    static const struct {
        const char *text, *want, *behind;
    } rows[] = {
        {"{\"a\":1}", "{\"a\":1}", ""},
        {"\xef\xbb\xbf \n{\"a\": 1}\n[DONE]", "{\"a\": 1}", "\n[DONE]"},
        {"[11832514629345358488,-9223372036854775808,-9223372036854775809]", "[\"11832514629345358488\",-9223372036854775808,\"-9223372036854775809\"]", ""},
        {"[1e400,-1e999,1e-999,1E5]", "[\"1e400\",\"-1e999\",1e-999,1E5]", ""},
        {"{\"a\":NaN,\"b\":-Infinity,\"c\":[Infinity,nan,inf,-nan]}", "{\"a\":null,\"b\":null,\"c\":[null,null,null,null]}", ""},
        {"{\"a\":\"NaN 1e400\"}", "{\"a\":\"NaN 1e400\"}", ""},
        {"[\"\\ud83d\",\"\\ude00\",\"\\ud83d\\ude00\",\"\\ud83dx\"]", "[\"\xef\xbf\xbd\",\"\xef\xbf\xbd\",\"\\ud83d\\ude00\",\"\xef\xbf\xbdx\"]", ""},
        {"[\"caf\xc3\",\"\xf0\x9f\"]", "[\"caf\xef\xbf\xbd\",\"\xef\xbf\xbd\"]", ""},
        {"[\"a\nb\t\x01\"]", "[\"a\\u000ab\\u0009\\u0001\"]", ""},
        {"{\"a\\u0000b\" :\"\\u0000\\\\u0000\"}", "{\"a\\ufffdb\" :\"\\u0000\\\\u0000\"}", ""},
        {"{\"\\\\u0000\\u0000\":1}", "{\"\\\\u0000\\ufffd\":1}", ""},
        {"{} {\"a\":1}", "{}", " {\"a\":1}"},
        {"{\"a\":1,\"a\":2}", "{\"a\":1,\"a\":2}", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_repaired(rows[i].text, rows[i].want, rows[i].behind);
}

Test(json_repair, guesses_nothing)
{
    char deep[400];
    memset(deep, '[', 200);
    memset(deep + 200, ']', 199);
    deep[399] = '\0';
    const char *const texts[] = {"", " ", "{", "{\"a\":1", "[\"a", "[1 2]", "[1,,2]", "{a:1}", "{\"a\" 1}", "[\"\\x\"]", "[\"\\u12\"]", "]", "nope", "[+1]", "[01]",
                                 "[tru e]", "[1.]", "<html>", "[\"\\", "{\"a\":1]", deep};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        AUTO_FREE char *exact = xmemdup0(texts[i], strlen(texts[i]));
        struct json_repaired repaired;
        cr_expect_not(json_repair(exact, strlen(exact), JSON_HALVES_MENDED, &repaired), "%s", texts[i]);
    }
}

Test(json_repair, grows_by_little)
{
    AUTO_FREE char *text = xcalloc(1, 100003);
    struct json_repaired repaired;
    memset(text, '\xff', 100002);
    memcpy(text, "[\"", 2);
    memcpy(text + 100000, "\"]", 2);
    cr_expect_not(json_repair(text, 100002, JSON_HALVES_MENDED, &repaired), "what is no text at all isn't mended to three times its size");
    memset(text + 2, 'a', 99000);
    cr_assert(json_repair(text, 100002, JSON_HALVES_MENDED, &repaired));
    cr_expect_leq(repaired.size, 100002u + 100002u / 8 + 1024);
    free(repaired.text);
}

Test(json_repair, keeps_halves_for_whoever_joins_them)
{
    static const char first[] = "{\"a\\ud83d\":\"x\\ud83d\"}", second[] = "[\"\\ude00\",\"caf\xc3\"]";
    struct json_repaired one, other;
    cr_assert(json_repair(first, sizeof first - 1, JSON_HALVES_KEPT, &one) && one.ragged);
    cr_assert(json_repair(second, sizeof second - 1, JSON_HALVES_KEPT, &other) && other.ragged);
    AUTO_JSON json_t *object = json_repaired_tree(&one), *array = json_repaired_tree(&other);
    cr_expect_str_eq(json_string_value(json_object_get(object, "a\xef\xbf\xbd")), "x\xed\xa0\xbd", "a name is mended at once");
    cr_expect_str_eq(json_string_value(json_array_get(array, 0)), "\xed\xb8\x80");
    json_object_set(object, "b", array);
    json_tree_mend(object);
    AUTO_FREE char *text = json_dumps(object, JSON_COMPACT);
    cr_expect_str_eq(text, "{\"a\xef\xbf\xbd\":\"x\xef\xbf\xbd\",\"b\":[\"\xef\xbf\xbd\",\"caf\xef\xbf\xbd\"]}");
    free(one.text);
    free(other.text);
}
