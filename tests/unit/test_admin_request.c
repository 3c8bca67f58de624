/* What is read of a request to the admin port, and who may ask for what. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "service/admin_request.h"

static struct admin_request request;
static char *text;

static bool read(const char *head)
{
    free(text);
    text = xstrdup(head);
    return admin_request_read(text, &request);
}

Test(admin_request, a_line_is_method_path_and_query)
{
    static const struct {
        const char *head, *method, *path, *query;
    } rows[] = {
        {"GET /healthz HTTP/1.1\r\n", "GET", "/healthz", ""},
        {"POST /trace?seconds=3 HTTP/1.0", "POST", "/trace", "seconds=3"},
        {"GET http://x:1/metrics HTTP/1.1\nHost: x", "GET", "/metrics", ""},
        {"GET http://x?/y HTTP/1.1", "GET", "/y", ""},
        {"GET /a#b?c HTTP/1.1", "GET", "/a", ""},
        {"GET /a?b#c HTTP/1.1", "GET", "/a", "b"},
        {"HEAD /? HTTP/1.1", "HEAD", "/", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_assert(read(rows[i].head), "%s", rows[i].head);
        cr_expect_str_eq(request.method, rows[i].method);
        cr_expect_str_eq(request.path, rows[i].path, "%s: %s", rows[i].head, request.path);
        cr_expect_str_eq(request.query, rows[i].query, "%s: %s", rows[i].head, request.query);
    }
    static const char *const none[] = {"", "GET", "GET /", "GET / FTP/1", "GET x HTTP/1.1", "\r\nGET / HTTP/1.1", "\x01 "};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        cr_expect_not(read(none[i]), "%s", none[i]);
        cr_expect_str_eq(request.method, "GET");
        cr_expect_str_eq(request.path, "");
    }
}

Test(admin_request, headers_are_found_by_any_case_and_without_their_blanks)
{
    cr_assert(read("GET / HTTP/1.1\r\nhOST:  127.0.0.1:9464 \r\nAUTHORIZATION:\tBearer x\r\nno header\r\nsec-fetch-site:none\r\n"));
    cr_expect_str_eq(request.host, "127.0.0.1:9464");
    cr_expect_str_eq(request.authorization, "Bearer x");
    cr_expect_str_eq(request.site, "none");
    cr_expect_not(request.forwarded);
    cr_assert(read("GET / HTTP/1.1\r\nX-Forwarded-For: 10.0.0.1\r\n"));
    cr_expect(request.forwarded);
    cr_expect_null(request.host);
}

Test(admin_request, a_number_of_the_query_has_bounds)
{
    static const struct {
        const char *query;
        bool fine;
        long long number;
    } rows[] = {{"", true, 5},          {"seconds=7", true, 7},  {"a=1&seconds=60", true, 60}, {"xseconds=9", true, 5},   {"seconds=0", false, 0},
                {"seconds=61", false, 0}, {"seconds=", false, 0},  {"seconds=1x", false, 0},     {"seconds=1&b", true, 1},  {"seconds=99999999999999999999", false, 0},
                {"seconds", true, 5},   {"seconds=-1", false, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        long long number;
        request.query = rows[i].query;
        bool fine = admin_request_number(&request, "seconds", 1, 60, 5, &number);
        cr_expect_eq(fine, rows[i].fine, "%s", rows[i].query);
        cr_expect(!fine || number == rows[i].number, "%s: %lld", rows[i].query, number);
    }
}

static enum admin_access access_of(const char *head, bool local, const char *token)
{
    cr_assert(read(head));
    return admin_request_access(&request, local, token);
}

Test(admin_request, probes_and_metrics_are_everybodys)
{
    static const char *const heads[] = {"GET /healthz HTTP/1.1", "GET /readyz HTTP/1.1", "GET /metrics HTTP/1.1\r\nX-Forwarded-For: 10.0.0.1"};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        cr_expect_eq(access_of(heads[i], false, NULL), ADMIN_ALLOWED);
        cr_expect_eq(access_of(heads[i], false, "t"), ADMIN_ALLOWED);
    }
}

Test(admin_request, all_else_wants_the_token_from_elsewhere)
{
    cr_expect_eq(access_of("GET /lanes HTTP/1.1", false, NULL), ADMIN_NO_ACCESS);
    cr_expect_eq(access_of("GET /healthz2 HTTP/1.1", false, NULL), ADMIN_NO_ACCESS);
    cr_expect_eq(access_of("GET /lanes HTTP/1.1\r\nAuthorization: Bearer ", false, NULL), ADMIN_NO_ACCESS);
    static const struct {
        const char *given;
        enum admin_access access;
    } rows[] = {{"Bearer s3cret", ADMIN_ALLOWED},   {"bearer s3cret", ADMIN_ALLOWED},          {"Bearer s3cre", ADMIN_NO_TOKEN},       {"Bearer s3crett", ADMIN_NO_TOKEN},
                {"Bearer ", ADMIN_NO_TOKEN},        {"s3cret", ADMIN_NO_TOKEN},                {"Basic YW55Om9uZTpzM2NyZXQ=", ADMIN_NO_TOKEN}, {"Basic bWU6czNjcmV0", ADMIN_ALLOWED},
                {"Basic OnMzY3JldA==", ADMIN_ALLOWED}, {"Basic czNjcmV0", ADMIN_NO_TOKEN}, {"Basic !", ADMIN_NO_TOKEN},            {"Digest s3cret", ADMIN_NO_TOKEN}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char head[256];
        snprintf(head, sizeof head, "GET /threads HTTP/1.1\r\nAuthorization: %s\r\n", rows[i].given);
        cr_expect_eq(access_of(head, false, "s3cret"), rows[i].access, "%s", rows[i].given);
    }
    cr_expect_eq(access_of("GET /threads HTTP/1.1", false, "s3cret"), ADMIN_NO_TOKEN);
}

Test(admin_request, a_long_password_is_none)
{
    char head[8192] = "GET /threads HTTP/1.1\r\nAuthorization: Basic ";
    memset(head + strlen(head), 'A', 6000);
    cr_expect_eq(access_of(head, false, "s3cret"), ADMIN_NO_TOKEN);
}

Test(admin_request, this_machine_needs_none_unless_it_asks_for_somebody_else)
{
    static const struct {
        const char *headers;
        enum admin_access access;
    } rows[] = {
        {"", ADMIN_ALLOWED},
        {"Host: 127.0.0.1:9464", ADMIN_ALLOWED},
        {"Host: localhost:9464", ADMIN_ALLOWED},
        {"Host: LocalHost", ADMIN_ALLOWED},
        {"Host: [::1]:9464", ADMIN_ALLOWED},
        {"Host: 127.9.9.9", ADMIN_ALLOWED},
        {"Host: [::ffff:127.0.0.1]", ADMIN_ALLOWED},
        {"Host: localhost\r\nHost: localhost", ADMIN_ALLOWED},
        {"Host: 10.1.2.3", ADMIN_NO_ACCESS},
        {"Host: [fd00::2]:9464", ADMIN_NO_ACCESS},
        {"Host: [localhost]", ADMIN_NO_ACCESS},
        {"Host: rebound.example.com\r\nHost: localhost", ADMIN_NO_ACCESS},
        {"Host: localhost\r\nHost: rebound.example.com", ADMIN_NO_ACCESS},
        {"Host: rebound.example.com", ADMIN_NO_ACCESS},
        {"Host: localhost.example.com:9464", ADMIN_NO_ACCESS},
        {"Host: 127.0.0.1.example.com", ADMIN_NO_ACCESS},
        {"Host: ", ADMIN_NO_ACCESS},
        {"Sec-Fetch-Site: same-origin", ADMIN_ALLOWED},
        {"Sec-Fetch-Site: none", ADMIN_ALLOWED},
        {"Sec-Fetch-Site: cross-site", ADMIN_NO_ACCESS},
        {"Sec-Fetch-Site: same-site", ADMIN_NO_ACCESS},
        {"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Site: none", ADMIN_NO_ACCESS},
        {"Host: localhost:9464\r\nOrigin: http://localhost:9464", ADMIN_ALLOWED},
        {"Host: localhost:9464\r\nOrigin: http://localhost:3000", ADMIN_NO_ACCESS},
        {"Host: localhost:9464\r\nOrigin: null", ADMIN_NO_ACCESS},
        {"Origin: http://example.com", ADMIN_NO_ACCESS},
        {"Forwarded: for=10.0.0.1", ADMIN_NO_ACCESS},
        {"X-Forwarded-Proto: http", ADMIN_NO_ACCESS},
        {"X-Real-IP: 10.0.0.1", ADMIN_NO_ACCESS},
        {"Via: 1.1 proxy", ADMIN_NO_ACCESS},
        {"X-Forwarded-For: 127.0.0.1", ADMIN_NO_ACCESS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char head[256];
        snprintf(head, sizeof head, "POST /trace HTTP/1.1\r\n%s\r\n", rows[i].headers);
        cr_expect_eq(access_of(head, true, NULL), rows[i].access, "%s", rows[i].headers);
        snprintf(head, sizeof head, "POST /trace HTTP/1.1\r\n%s\r\nAuthorization: Bearer t\r\n", rows[i].headers);
        cr_expect_eq(access_of(head, true, "t"), ADMIN_ALLOWED, "%s", rows[i].headers);
    }
}

Test(admin_request, the_host_of_the_line_counts)
{
    cr_expect_eq(access_of("GET http://localhost:9464/lanes HTTP/1.1", true, NULL), ADMIN_ALLOWED);
    cr_expect_eq(access_of("GET http://rebound.example.com/lanes HTTP/1.1", true, NULL), ADMIN_NO_ACCESS);
    cr_expect_eq(access_of("GET http://rebound.example.com/lanes HTTP/1.1\r\nHost: localhost", true, NULL), ADMIN_NO_ACCESS);
    cr_expect_eq(access_of("GET http://localhost@rebound.example.com/lanes HTTP/1.1", true, NULL), ADMIN_NO_ACCESS);
}

/* A browser that knows the password sends it with a form of any site, and a trace is work. */
Test(admin_request, another_sites_form_has_no_use_of_a_browsers_password)
{
    static const char basic[] = "Host: 10.1.2.3:9464\r\nAuthorization: Basic bWU6czNjcmV0\r\n";
    static const struct {
        const char *line, *header;
        enum admin_access access;
    } rows[] = {
        {"POST /trace", "", ADMIN_ALLOWED},
        {"POST /trace", "Origin: http://10.1.2.3:9464", ADMIN_ALLOWED},
        {"POST /trace", "Origin: http://example.com", ADMIN_NO_TOKEN},
        {"POST /trace", "Sec-Fetch-Site: cross-site", ADMIN_NO_TOKEN},
        {"GET /lanes", "Sec-Fetch-Site: cross-site", ADMIN_ALLOWED}, /* a link was clicked; what it loads can't be read by the other site */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char head[256];
        snprintf(head, sizeof head, "%s HTTP/1.1\r\n%s%s\r\n", rows[i].line, basic, rows[i].header);
        cr_expect_eq(access_of(head, false, "s3cret"), rows[i].access, "%s: %s", rows[i].line, rows[i].header);
    }
}

Test(admin_request, loopback_is_this_machine)
{
    static const struct {
        const char *address;
        bool local;
    } rows[] = {{"127.0.0.1", true}, {"127.9.9.9", true}, {"10.0.0.1", false}, {"128.0.0.1", false}, {"::1", true}, {"::ffff:127.0.0.1", true}, {"::ffff:10.0.0.1", false}, {"fe80::1", false}, {"::", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sockaddr_storage address = {0};
        bool is_v6 = strchr(rows[i].address, ':') != NULL;
        address.ss_family = is_v6 ? AF_INET6 : AF_INET;
        void *at = is_v6 ? (void *)&((struct sockaddr_in6 *)(void *)&address)->sin6_addr : (void *)&((struct sockaddr_in *)(void *)&address)->sin_addr;
        cr_assert_eq(inet_pton(address.ss_family, rows[i].address, at), 1);
        cr_expect_eq(admin_address_is_local((struct sockaddr *)&address), rows[i].local, "%s", rows[i].address);
    }
}
