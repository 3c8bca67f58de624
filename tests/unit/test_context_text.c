/* Context sources as text: addresses, prompts and verdicts. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/template.h"
#include "llm/context_text.h"

Test(template, a_brace_that_is_not_around_a_name_is_text)
{
    const char *at = "{a}{ b}{}{\"x\":{y.z-1_}}{";
    static const char *const want[] = {"name a", "text { b}{}{\"x\":", "name y.z-1_", "text }{"};
    struct template_part part;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        char got[64];
        cr_assert(template_next(&at, &part));
        snprintf(got, sizeof got, "%s %.*s", part.is_name ? "name" : "text", (int)part.size, part.text);
        cr_expect_str_eq(got, want[i]);
    }
    cr_expect_not(template_next(&at, &part));
    cr_expect(template_is_name("a-b.c_1"));
    cr_expect_not(template_is_name(""));
    cr_expect_not(template_is_name("a b"));
    cr_expect_not(template_is_name("a}"));
}

Test(context_url, values_are_encoded_so_that_they_stay_values)
{
    static const struct {
        const char *template, *session, *user, *want; /* NULL: refused, and why */
        const char *code;
    } rows[] = {{"http://h/p", "s", "u", "http://h/p", NULL},
                {"http://h/p/{session}?u={user}&j={job}", "s-1", "me", "http://h/p/s-1?u=me&j=j_1", NULL},
                {"http://h/{session}/{session}", "a~b", "", "http://h/a~b/a~b", NULL},
                {"http://h/p?u={user}", "", "a b&c=d#e?f/g%h+i", "http://h/p?u=a%20b%26c%3Dd%23e%3Ff%2Fg%25h%2Bi", NULL},
                {"http://h/p?u={user}", "", "{session}", "http://h/p?u=%7Bsession%7D", NULL},
                {"http://h/p?u={user}", "", "\xc3\xa9\n\x7f", "http://h/p?u=%C3%A9%0A%7F", NULL},
                {"http://h/p?u={user}", "", "a\r\nHost: evil", "http://h/p?u=a%0D%0AHost%3A%20evil", NULL},
                {"http://h/{session}/{session}", "", "u", NULL, "empty_placeholder"},
                {"http://h/p/{user}", "", "", NULL, "empty_placeholder"},
                {"http://h/p/{user}/x", "", "", NULL, "empty_placeholder"},
                {"http://h/p/a{user}b", "", "", NULL, "empty_placeholder"},
                {"http://h/p?u={user}", "", "", NULL, "empty_placeholder"},
                {"http://h/p?u={user}&j={job}", "", " \t\r\n", NULL, "empty_placeholder"},
                {"http://h/p/{user}", "", "\x01\x7f", NULL, "empty_placeholder"},
                {"http://h/p/{user}", "", "\xc2\xa0\xe2\x80\x83\xe2\x80\x8b\xe3\x80\x80\xef\xbb\xbf", NULL, "empty_placeholder"}, /* blanks of Unicode */
                {"http://h/p/{user}", "", "\xc3\xa0", "http://h/p/%C3%A0", NULL},
                {"http://h/p/{user}", "", " .. ", NULL, "bad_url"},
                {"http://h/p/{user}/x", "", "..", NULL, "bad_url"},
                {"http://h/p/{user}", "", ".", NULL, "bad_url"},
                {"http://h/{session}{user}/x", ".", ".", NULL, "bad_url"},
                {"http://h/p/{user}/x", "", "...", NULL, "bad_url"},
                {"http://h/p/{user}/x", "", "../..", "http://h/p/..%2F../x", NULL},
                {"http://h/p/v.{user}/x", "", ".", NULL, "bad_url"},
                {"http://h/p/.{user}/x", "", "a", "http://h/p/.a/x", NULL},
                {"http://h/p/../{user}/x", "", "a", NULL, "bad_url"},
                {"http://h?u={user}", "", "..", "http://h?u=..", NULL},
                {"http://h/p?u={user}/../x", "", "..", "http://h/p?u=../../x", NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct context_values values = {.session = rows[i].session, .user = rows[i].user, .job = "j_1"};
        struct error err = {0};
        AUTO_FREE char *got = context_url_fill(rows[i].template, &values, &err);
        cr_expect_str_eq(got != NULL ? got : "(refused)", rows[i].want != NULL ? rows[i].want : "(refused)", "%s with %s became %s", rows[i].template, rows[i].user, got);
        cr_expect_str_eq(err.code, rows[i].code != NULL ? rows[i].code : "", "%s with %s", rows[i].template, rows[i].user);
        cr_expect(got != NULL || err.class == ERROR_PERMANENT);
    }
}

Test(context_url, every_byte_but_the_unreserved_is_encoded)
{
    for (int c = 1; c < 256; c++) {
        char value[] = {'v', (char)c, '\0'}, want[32];
        struct error err = {0};
        bool plain = strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~", c) != NULL;
        snprintf(want, sizeof want, plain ? "http://h/?v%c" : "http://h/?v%%%02X", c);
        struct context_values values = {.session = value, .user = "", .job = ""};
        AUTO_FREE char *got = context_url_fill("http://h/?{session}", &values, &err);
        cr_expect_str_eq(got, want);
    }
}

Test(context_url, the_user_is_metadatas_where_that_is_a_text)
{
    static const struct {
        const char *metadata, *want;
    } rows[] = {{"{\"user\":\"u\\u00e9\"}", "u\xc3\xa9"}, {"{\"user\":7}", NULL}, {"{\"tenant\":\"a\"}", NULL}, {"\"user\"", NULL}, {"[1]", NULL}, {NULL, NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO_FREE char *got = context_user(rows[i].metadata);
        cr_expect_str_eq(got != NULL ? got : "(none)", rows[i].want != NULL ? rows[i].want : "(none)", "%s", rows[i].metadata);
    }
}

Test(context_body, holds_what_it_may_and_no_more)
{
    static const struct {
        const char *messages, *want; /* of input */
    } cases[] = {
        {"[{\"role\":\"user\",\"content\":\"a \\\"b\\\"\"}]", "{\"input\":\"a \\\"b\\\"\"}"},
        {"[{\"role\":\"system\",\"content\":\"no\"},{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"no\"},"
         "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"b\"},{\"type\":\"image_url\"},{\"type\":\"text\",\"text\":\"c\"}]}]",
         "{\"input\":\"a\\nb\\nc\"}"},
        {"[{\"role\":\"user\",\"content\":\"a\\u0000b\"}]", "{\"input\":\"a\\u0000b\"}"},
        {"[{\"role\":\"tool\",\"content\":\"42\"},{\"role\":\"user\",\"content\":null}]", "{\"input\":\"\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AUTO_FREE char *messages = xstrdup(cases[i].messages);
        struct job job = {.id = "j", .messages = messages};
        AUTO_FREE char *input = context_body(CONTEXT_SEND_INPUT, &job, NULL);
        AUTO_FREE char *whole = context_body(CONTEXT_SEND_MESSAGES, &job, "u");
        AUTO_FREE char *want = xasprintf("{\"job\":\"j\",\"session\":null,\"user\":\"u\",\"messages\":%s}", cases[i].messages);
        cr_expect_str_eq(input, cases[i].want);
        cr_expect_str_eq(whole, want);
        cr_expect_null(context_body(CONTEXT_SEND_NOTHING, &job, "u"));
    }
}

Test(context_prompt, each_text_goes_in_once)
{
    static const struct context_part parts[] = {{"a", "one"}, {"b", NULL}, {"c", "{a} \"three\""}, {"blank", " \n"}};
    static const struct {
        const char *template, *want; /* NULL: no text */
        size_t count;
    } rows[] = {{NULL, "a:\none\n\nc:\n{a} \"three\"", 4},
                {NULL, NULL, 0},
                {"Known: {a}; {b}; {c}.", "Known: one; ; {a} \"three\".", 4},
                {"{c}{c}", "{a} \"three\"{a} \"three\"", 4},
                {"{\"json\":\"{a}\"}", "{\"json\":\"one\"}", 4},
                {"{b}\n{blank}", NULL, 4},
                {"no place", "no place", 4},
                {"", NULL, 4}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO_FREE char *got = context_prompt_fill(rows[i].template, parts, rows[i].count);
        cr_expect_str_eq(got != NULL ? got : "(nothing)", rows[i].want != NULL ? rows[i].want : "(nothing)");
    }
}

Test(context_prompt, only_whole_utf8_can_stand_in_it)
{
    cr_expect(context_text_is_valid("", 0));
    cr_expect(context_text_is_valid("a\n\xf0\x9f\x8d\xb5", 6));
    cr_expect_not(context_text_is_valid("a\xff", 2));
    cr_expect_not(context_text_is_valid("a\xf0\x9f", 3), "cut within a letter");
    cr_expect_not(context_text_is_valid("\xed\xa0\x80", 3), "half of a surrogate pair");
    cr_expect_not(context_text_is_valid("a\0b", 3));
}

Test(context_verdict, is_read_from_both_shapes)
{
    static const struct {
        const char *body;
        enum context_verdict want;
    } rows[] = {{"{\"allowed\":true}", CONTEXT_ALLOWED},
                {"{\"allowed\":false,\"reason\":\"r\"}", CONTEXT_REFUSED},
                {"{\"id\":\"m\",\"model\":\"x\",\"results\":[{\"flagged\":false,\"categories\":{\"violence\":false}}]}", CONTEXT_ALLOWED},
                {"{\"results\":[{\"flagged\":false},{\"flagged\":true}]}", CONTEXT_REFUSED},
                {"{\"allowed\":true,\"results\":[{\"flagged\":true}]}", CONTEXT_REFUSED},
                {"{\"allowed\":false,\"results\":[{\"flagged\":false}]}", CONTEXT_REFUSED},
                {"{\"results\":[]}", CONTEXT_UNREADABLE},
                {"{\"results\":[{\"flagged\":true},{}]}", CONTEXT_UNREADABLE},
                {"{\"results\":[{\"flagged\":\"no\"}]}", CONTEXT_UNREADABLE},
                {"{\"allowed\":\"true\"}", CONTEXT_UNREADABLE},
                {"{\"allowed\":null}", CONTEXT_UNREADABLE},
                {"{}", CONTEXT_UNREADABLE},
                {"true", CONTEXT_UNREADABLE},
                {"[{\"flagged\":false}]", CONTEXT_UNREADABLE},
                {"{\"allowed\":true", CONTEXT_UNREADABLE},
                {"", CONTEXT_UNREADABLE}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_expect_eq(context_verdict_read(rows[i].body, strlen(rows[i].body)), rows[i].want, "%s", rows[i].body);
}
