/* The heads of requests. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/cleanup.h"
#include "http/http_head.h"

#define AGENT "User-Agent: chat-worker/" CHAT_RELEASE "\r\n"
#define USUAL AGENT "Accept: */*\r\nAccept-Encoding: identity\r\n"

static const struct {
    const char *url, *proxy;
    const char *headers[4];
    const char *target, *lines;
} heads[] = {
    {"http://models.example/v1/chat/completions", NULL, {NULL}, "/v1/chat/completions", "Host: models.example\r\n" USUAL},
    {"http://models.example", NULL, {NULL}, "/", "Host: models.example\r\n" USUAL},
    {"https://models.example:8443/a%20b?api-version=2&x=%2F#part", NULL, {NULL}, "/a%20b?api-version=2&x=%2F", "Host: models.example:8443\r\n" USUAL},
    {"https://models.example:443/", NULL, {NULL}, "/", "Host: models.example\r\n" USUAL},
    {"http://[2001:db8::1]:8080/v1", NULL, {NULL}, "/v1", "Host: [2001:db8::1]:8080\r\n" USUAL},
    {"http://us%40er:pass%2Fword@models.example/v1", NULL, {NULL}, "/v1", "Host: models.example\r\nAuthorization: Basic dXNAZXI6cGFzcy93b3Jk\r\n" USUAL},
    {"http://user@models.example/v1", NULL, {"Authorization: Bearer key", NULL}, "/v1", "Host: models.example\r\n" USUAL "Authorization: Bearer key\r\n"},
    {"http://models.example/v1", NULL, {"host: other", "accept: text/plain", "X-Empty:", NULL}, "/v1",
     AGENT "Accept-Encoding: identity\r\nhost: other\r\naccept: text/plain\r\nX-Empty:\r\n"},
    {"http://models.example/v1", "socks5h://user:word@proxy:1080", {NULL}, "/v1", "Host: models.example\r\n" USUAL},
    {"https://models.example/v1", "http://user:word@proxy:3128", {NULL}, "/v1", "Host: models.example\r\n" USUAL},
    {"http://user:word@models.example:81/v1?a=b#part", "http://proxy:3128", {NULL}, "http://models.example:81/v1?a=b",
     "Host: models.example:81\r\nAuthorization: Basic dXNlcjp3b3Jk\r\n" USUAL},
    {"http://models.example:80/v1", "http://user:word@proxy:3128", {NULL}, "http://models.example/v1", "Host: models.example\r\nProxy-Authorization: Basic dXNlcjp3b3Jk\r\n" USUAL},
};

Test(http_head, says_whom_it_is_for_and_where_it_goes)
{
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        AUTO_FREE char *target = http_head_target(heads[i].url, heads[i].proxy);
        AUTO_FREE char *lines = http_head_headers(heads[i].url, heads[i].headers, heads[i].proxy);
        cr_expect_str_eq(target, heads[i].target, "%s: %s", heads[i].url, target);
        cr_expect_str_eq(lines, heads[i].lines, "%s: %s", heads[i].url, lines);
    }
}

Test(http_head, a_post_has_a_length_and_a_get_has_none)
{
    AUTO_FREE char *post = http_head("POST", "/v1", "Host: a\r\n", 7), *get = http_head("GET", "/", "Host: a\r\n", 0);
    AUTO_FREE char *empty = http_head("POST", "/v1", "", 0);
    cr_expect_str_eq(post, "POST /v1 HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n");
    cr_expect_str_eq(get, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_expect_str_eq(empty, "POST /v1 HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
}

Test(http_head, there_is_none_for_what_is_no_url)
{
    cr_expect_null(http_head_target("http://models.example:port/", NULL));
    cr_expect_null(http_head_headers("http://", NULL, NULL));
}
