/* Which proxy is used for a URL, and the server of a URL. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "http/http_address.h"
#include "http/proxy_choice.h"

static const char *const variables[] = {"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"};

static void set_environment(const char *text)
{
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
    AUTO_FREE char *copy = strdup(text);
    char *rest = copy;
    for (char *pair; (pair = strsep(&rest, ";")) != NULL;) {
        char *value = strchr(pair, '=');
        if (value == NULL)
            continue;
        *value++ = '\0';
        setenv(pair, value, 1);
    }
}

Test(proxy, none_unless_the_setting_says_so_and_never_for_this_machine)
{
    static const char all[] = "http_proxy=http://p:1;https_proxy=http://q:2";
    static const struct {
        const char *setting, *url, *environment, *want; /* NULL: none */
    } rows[] = {{NULL, "http://m/v1", all, NULL},
                {"none", "https://m/v1", all, NULL},
                {"environment", "http://m/v1", all, "http://p:1"},
                {"environment", "https://m/v1", all, "http://q:2"},
                {"environment", "http://m/v1", "", NULL},
                {"environment", "http://m/v1", "HTTP_PROXY=http://p:1", NULL},
                {"environment", "https://m/v1", "HTTPS_PROXY=http://p:1", "http://p:1"},
                {"environment", "https://m/v1", "https_proxy=;HTTPS_PROXY=http://p:1", "http://p:1"},
                {"environment", "http://m/v1", "ALL_PROXY=p:1", "http://p:1"},
                {"environment", "http://m/v1", "all_proxy=socks5h://p:1", "socks5h://p:1"},
                {"environment", "http://m.example/v1", "http_proxy=http://p:1;no_proxy=other, .example", NULL},
                {"environment", "http://m.example/v1", "http_proxy=http://p:1;NO_PROXY=*", NULL},
                {"http://u:w@p:1", "http://m/v1", "no_proxy=*", "http://u:w@p:1"},
                {"https://p", "https://m/v1", "", "https://p"},
                {"environment", "http://localhost:8080/v1", all, NULL},
                {"environment", "http://127.0.0.1:8080/v1", all, NULL},
                {"http://p:1", "http://127.9.9.9/v1", "", NULL},
                {"http://p:1", "http://127.1/v1", "", NULL},
                {"http://p:1", "http://[::1]:8080/v1", "", NULL},
                {"http://p:1", "http://[::ffff:127.0.0.1]/v1", "", NULL},
                {"http://p:1", "http://LocalHost./v1", "", NULL},
                {"http://p:1", "http://a.localhost/v1", "", NULL},
                {"http://p:1", "http://127.0.0.1./v1", "", NULL},
                {"http://p:1", "http://0.0.0.0:1/v1", "", NULL},
                {"http://p:1", "http://localhost.example/v1", "", "http://p:1"},
                {"http://p:1", "http://notlocalhost/v1", "", "http://p:1"},
                {"http://p:1", "http://128.0.0.1/v1", "", "http://p:1"},
                {"http://p:1", "http://me@127.0.0.1/v1", "", NULL},
                {"http://p:1", "http://m/{user}?x={job}", "", "http://p:1"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error err = {0};
        AUTO_FREE char *got = NULL;
        set_environment(rows[i].environment);
        cr_expect_eq(proxy_choose(rows[i].setting, rows[i].url, &got, &err), STATUS_OK, "%zu: %s", i, err.message);
        cr_expect_str_eq(got != NULL ? got : "(none)", rows[i].want != NULL ? rows[i].want : "(none)", "%s for %s with %s", rows[i].setting, rows[i].url,
                         rows[i].environment);
    }
}

Test(proxy, what_can_be_none_is_refused_without_its_words)
{
    static const struct {
        const char *setting, *environment, *named;
    } rows[] = {{"socks4://u:sesame@p:1", "", "socks5h"},  {"http://u:sesame@:1", "", ""},        {"http://u:sesame@p:99999", "", ""},
                {"sesame :1", "", ""},                     {"environment", "http_proxy=ftp://sesame:1", "http_proxy"},
                {"environment", "all_proxy=http://u:sesame@p:x", "all_proxy"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error err = {0};
        AUTO_FREE char *got = NULL;
        set_environment(rows[i].environment);
        cr_expect_eq(proxy_choose(rows[i].setting, "http://m/v1", &got, &err), STATUS_FAILED, "%zu", i);
        cr_expect(err.class == ERROR_PERMANENT && strstr(err.message, rows[i].named) != NULL && strstr(err.message, "sesame") == NULL, "%s", err.message);
    }
}

Test(no_proxy, names_what_lies_below_and_networks)
{
    static const struct {
        const char *list, *host;
        bool want;
    } rows[] = {{"example.com", "example.com", true},     {"example.com", "a.example.com", true},  {".example.com", "example.com", true},
                {"example.com", "notexample.com", false}, {"EXAMPLE.com.", "a.Example.COM", true}, {"a,b c", "c", true},
                {"", "a", false},                         {".", "a", false},                       {"*", "a", true},
                {"10.0.0.0/8", "10.9.8.7", true},         {"10.0.0.0/8", "11.0.0.1", false},       {"10.0.0.1", "10.0.0.1", true},
                {"0.0.1", "10.0.0.1", false},             {"192.168.0.0/23", "192.168.1.9", true}, {"192.168.0.0/23", "192.168.2.9", false},
                {"[2001:db8::1]", "2001:db8:0::1", true}, {"2001:db8::/32", "2001:db8:9::", true}, {"10.0.0.0/x", "10.0.0.0", false},
                {"10.0.0.0/99", "10.0.0.0", false},       {"10.0.0.0/8", "a.example", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_expect_eq(no_proxy_names(rows[i].list, rows[i].host), rows[i].want, "%s with %s", rows[i].host, rows[i].list);
}

Test(address, where_a_url_leads)
{
    static const struct {
        const char *url, *host, *port; /* NULL: refused */
        bool literal;
    } rows[] = {{"http://h/v1", "h", "80", false},           {"https://h.example/v1/{user}", "h.example", "443", false}, {"http://h:8080?x={y}", "h", "8080", false},
                {"http://[2001:db8::1]:1/", "2001:db8::1", "1", true}, {"http://192.0.2.1", "192.0.2.1", "80", true},   {"http://localhost", "localhost", "80", true},
                {"http://u:p@h/", "h", "80", false},         {"http://h:0x/", NULL, NULL, false},                        {"http://h:99999/", NULL, NULL, false},
                {"http://", NULL, NULL, false},              {"http://h h/", NULL, NULL, false},                         {"nothing", NULL, NULL, false},
                {"http://localhost./", "localhost.", "80", false}, {"http://-h/", NULL, NULL, false}, {"http://+h/", NULL, NULL, false},
                {"http://H.Example:80/P", "h.example", "80", false}, {"http://b\xc3\xbc" "cher.example/", NULL, NULL, false}, {"http://xn--bcher-kva.example/", "xn--bcher-kva.example", "80", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct http_address got = {0};
        struct error err = {0};
        enum status status = http_address_parse(rows[i].url, &got, &err);
        cr_expect_eq(status, rows[i].host != NULL ? STATUS_OK : STATUS_FAILED, "%s", rows[i].url);
        if (status == STATUS_OK && rows[i].host != NULL) {
            cr_expect_str_eq(got.host, rows[i].host);
            cr_expect_str_eq(got.port, rows[i].port);
            cr_expect_eq(got.is_literal, rows[i].literal, "%s", rows[i].url);
        }
        http_address_finish(&got);
    }
}
