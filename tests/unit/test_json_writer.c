/* A parser reads back what was written, and for trees the text is jansson's. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "wire/json_writer.h"

#define SEEDS 400

/* Some text, with all that needs an escape; jansson escapes \b and \f shorter, so they aren't in it. */
static json_t *random_text(unsigned *seed)
{
    static const char *const parts[] = {"a", "Grüße ", "\"", "\\", "\n", "\r\t", "\x01", "/", "€", "\xf0\x9f\x99\x82", "{[,:]}", ""};
    char text[64] = "";
    for (int n = rand_r(seed) % 6; n > 0; n--)
        strcat(text, parts[(size_t)rand_r(seed) % (sizeof parts / sizeof parts[0])]);
    return json_string(text);
}

static json_t *random_tree(unsigned *seed, int depth)
{
    json_t *made;
    switch (rand_r(seed) % (depth > 0 ? 9 : 6)) {
    case 0: return json_null();
    case 1: return json_boolean(rand_r(seed) % 2);
    case 2: return json_integer(rand_r(seed) - 1000000);
    case 3: return json_real(rand_r(seed) / 7.0);
    case 4:
    case 5: return random_text(seed);
    case 6:
        made = json_array();
        for (int n = rand_r(seed) % 4; n > 0; n--)
            json_array_append_new(made, random_tree(seed, depth - 1));
        return made;
    default:
        made = json_object();
        for (int n = rand_r(seed) % 5; n > 0; n--) {
            json_t *name = random_text(seed);
            json_object_set_new(made, json_string_value(name), random_tree(seed, depth - 1));
            json_decref(name);
        }
        return made;
    }
}

Test(json_writer, a_tree_is_written_as_jansson_writes_it)
{
    for (unsigned n = 0; n < SEEDS; n++) {
        unsigned seed = n;
        AUTO_JSON json_t *tree = random_tree(&seed, 5);
        AUTO_FREE char *expected = json_dumps(tree, JSON_COMPACT | JSON_ENCODE_ANY);
        struct json_writer writer = {0};
        json_write_tree(&writer, NULL, tree);
        AUTO_FREE char *text = writer.text;
        cr_assert_str_eq(text, expected, "seed %u", n);
        cr_assert_eq(writer.size, strlen(expected));
    }
}

Test(json_writer, every_control_character_comes_back)
{
    char all[33];
    for (int c = 0; c < 32; c++)
        all[c] = (char)c;
    AUTO_JSON json_t *value = json_stringn(all, 32);
    struct json_writer writer = {0};
    json_write_tree(&writer, NULL, value);
    AUTO_FREE char *text = writer.text;
    AUTO_JSON json_t *read = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    cr_assert(json_equal(read, value), "%s", text);
}

Test(json_writer, commas_stand_between_and_nowhere_else)
{
    struct json_writer writer = {0};
    json_write_open(&writer, NULL);
    json_write_open_array(&writer, "none");
    json_write_close_array(&writer);
    json_write_open_array(&writer, "some");
    json_write_raw(&writer, NULL, "{\"brace\":\"{\"},[]");
    json_write_text(&writer, NULL, "[");
    json_write_open(&writer, NULL);
    json_write_close(&writer);
    json_write_null(&writer, NULL);
    json_write_close_array(&writer);
    json_write_raw_member(&writer, "as\\u0020came", 12, "0.2 ", 3);
    json_write_int(&writer, "number", -7);
    json_write_bool(&writer, "truth", false);
    json_write_close(&writer);
    AUTO_FREE char *text = writer.text;
    cr_expect_str_eq(text, "{\"none\":[],\"some\":[{\"brace\":\"{\"},[],\"[\",{},null],\"as\\u0020came\":0.2,\"number\":-7,\"truth\":false}");
}

Test(json_writer, whole_numbers_are_written_up_to_the_largest)
{
    struct json_writer writer = {0};
    const int64_t numbers[] = {0, 9, 10, -10, INT64_MAX, INT64_MIN};
    json_write_open_array(&writer, NULL);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        json_write_int(&writer, NULL, numbers[i]);
    json_write_close_array(&writer);
    AUTO_FREE char *text = writer.text;
    cr_expect_str_eq(text, "[0,9,10,-10,9223372036854775807,-9223372036854775808]");
}

Test(json_writer, a_text_that_is_no_utf8_is_mended)
{
    struct json_writer writer = {0};
    json_write_text(&writer, NULL, "a\xff\"\xc3");
    AUTO_FREE char *text = writer.text;
    cr_expect_str_eq(text, "\"a?\\\"?\"");
}
