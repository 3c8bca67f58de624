/* A provider's own headers: what may be sent, what is refused and how, and that no message contains a value. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "settings/provider_headers.h"

static struct provider_header *must_read(const char *text, bool has_key)
{
    struct provider_header *headers = NULL;
    char why[160] = "";
    cr_assert_eq(provider_headers_read(text, has_key, &headers, why), STATUS_OK, "%s: %s", text, why);
    return headers;
}

Test(provider_headers, stand_in_the_order_of_the_text)
{
    struct provider_header *headers = must_read("{\"X-Title\": \"My application\",\n \"HTTP-Referer\": \"https://a.test/?b=c\", \"X-\\u0041\": \"\"}", true);
    cr_assert_str_eq(headers[0].name, "X-Title");
    cr_assert_str_eq(headers[0].value, "My application");
    cr_assert_str_eq(headers[1].name, "HTTP-Referer");
    cr_assert_str_eq(headers[1].value, "https://a.test/?b=c");
    cr_assert_str_eq(headers[2].name, "X-A");
    cr_assert_str_empty(headers[2].value);
    cr_assert_null(headers[3].name);
    provider_headers_free(headers);
}

Test(provider_headers, are_without_the_white_space_around_them)
{
    struct provider_header *headers = must_read("{\"X-A\":\" open sesame \\t\",\"X-B\":\" \\t \"}", true);
    cr_expect_str_eq(headers[0].value, "open sesame");
    cr_expect_str_empty(headers[1].value);
    provider_headers_free(headers);
}

Test(provider_headers, that_may_be_sent)
{
    static const struct {
        const char *text;
        bool has_key;
    } rows[] = {{"{}", true},
                {" {\"a\":\"b\"}\n", true},
                {"{\"User-Agent\":\"mine/1\"}", true},
                {"{\"!#$%&'*+-.^_`|~09azAZ\":\"v\"}", true},
                {"{\"X-Tab\":\"a\\tb\"}", true},
                {"{\"X-Beyond\":\"b\\u00fccher\"}", true},
                {"{\"Authorization\":\"Basic x\"}", false},
                {"{\"API-Key\":\"x\"}", false},
                {"{\"X-Host\":\"a\",\"Accept-Language\":\"b\",\"Content\":\"c\"}", true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        provider_headers_free(must_read(rows[i].text, rows[i].has_key));
}

Test(provider_headers, that_can_not_be_sent_are_refused_without_their_values)
{
    static const struct {
        const char *text, *a, *b;
    } rows[] = {{"", "no JSON object", "line 1"},
                {"sesame", "no JSON object", "line 1"},
                {"\"sesame\"", "no JSON object", ""},
                {"[\"sesame\"]", "no JSON object", ""},
                {"null", "no JSON object", ""},
                {"{\"X-A\": sesame}", "no JSON object", "column"},
                {"{\"X-A\":\n \"sesame\" \"X-B\"}", "no JSON object", "line 2"},
                {"{\"X-A\":\"sesame\"} sesame", "no JSON object", "line 1"},
                {"{\"X-A\":\"sesame\\u0000\"}", "no JSON object", "line 1"},
                {"{\"Bearer sesame\":\"\",\"Bearer sesame\":\"\"}", "twice", "Bearer"},
                {"{\"X-A\":\"sesame\xff\"}", "no JSON object", "line 1"},
                {"{\"X-A\": 1}", "X-A", "put it in quotes"},
                {"{\"X-A\": null}", "X-A", "no string"},
                {"{\"X-A\": [\"sesame\"]}", "X-A", "no string"},
                {"{\"X-A\": {\"sesame\":\"sesame\"}}", "X-A", "no string"},
                {"{\"\":\"sesame\"}", "name is empty", "leave it out"},
                {"{\"X A\":\"sesame\"}", "\"X\"", "letters, digits"},
                {"{\"X-A: sesame\":\"\"}", "\"X-A\"", "letters, digits"},
                {"{\"X-A\\r\\nsesame\":\"\"}", "\"X-A\"", "letters, digits"},
                {"{\"b\\u00fccher\":\"sesame\"}", "\"b\"", "letters, digits"},
                {"{\"X-A\":\"sesame\\r\\nX-Evil: 1\"}", "X-A", "line break"},
                {"{\"X-A\":\"sesame\\n\"}", "X-A", "control character"},
                {"{\"X-A\":\"sesame\\u0001\"}", "X-A", "control character"},
                {"{\"X-A\":\"sesame\\u001f\"}", "X-A", "control character"},
                {"{\"X-A\":\"sesame\\u007f\"}", "X-A", "control character"},
                {"{\"X-A\":\"b\",\"X-A\":\"sesame\"}", "X-A is there twice", "leave one out"},
                {"{\"X-B\":\"b\xc3\xbc" "cher\",\"X-A\":\"b\",\"X-A\":\"sesame\"}", "X-A is there twice", "leave one out"},
                {"{\"X-A\":\"b\",\"x-a\":\"sesame\"}", "x-a is there twice", "leave one out"},
                {"{\"x-api-secret-of-a-long-name\":\"sesame\",\n\"b\":\"c\", \"x-api-secret-of-a-long-name\" : \"sesame\"}", "x-api-secret-of-a-long-name is there twice", ""},
                {"{\"Authorization\":\"Bearer sesame\"}", "Authorization and api_key", "one of them"},
                {"{\"authorization\":\"Bearer sesame\"}", "authorization and api_key", "one of them"},
                {"{\"Api-Key\":\"sesame\"}", "Api-Key and api_key", "one of them"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct provider_header *headers = NULL;
        char why[160] = "";
        cr_assert_eq(provider_headers_read(rows[i].text, true, &headers, why), STATUS_FAILED, "%s", rows[i].text);
        cr_expect(strstr(why, rows[i].a) && strstr(why, rows[i].b), "\"%s\" has no \"%s\" and \"%s\"", why, rows[i].a, rows[i].b);
        cr_expect_null(strstr(why, "sesame"), "%s", why);
        cr_expect_null(headers);
    }
}

Test(provider_headers, of_the_request_are_the_worker_s)
{
    static const char *const names[] = {"Host", "content-length", "TRANSFER-ENCODING", "Content-Type", "Connection", "accept", "Accept-Encoding", "Expect", "TE", "Upgrade"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct provider_header *headers = NULL;
        char text[100], why[160] = "";
        snprintf(text, sizeof text, "{\"%s\":\"sesame\"}", names[i]);
        cr_assert_eq(provider_headers_read(text, false, &headers, why), STATUS_FAILED, "%s", text);
        cr_expect(strstr(why, names[i]) == why && strstr(why, "leave it out"), "%s", why);
    }
}

Test(provider_headers, are_bounded_in_number)
{
    char text[2000] = "{", why[160] = "";
    struct provider_header *headers = NULL;
    for (int i = 0; i < PROVIDER_HEADERS_MAX; i++)
        sprintf(text + strlen(text), "%s\"x-%d\":\"\"", i > 0 ? "," : "", i);
    size_t length = strlen(text);
    strcpy(text + length, "}");
    provider_headers_free(must_read(text, false));
    strcpy(text + length, ",\"y\":\"\"}");
    cr_assert_eq(provider_headers_read(text, false, &headers, why), STATUS_FAILED);
    cr_expect(strstr(why, "65 headers; at most 64"), "%s", why);
}
