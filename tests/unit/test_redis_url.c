/* redis.url: valid and refused ones, and that no message contains a password. */
#include <criterion/criterion.h>
#include <string.h>

#include "redis/redis_connect.h"
#include "redis/redis_url.h"

static const struct {
    const char *text;
    struct redis_url want;
} good[] = {
    {"redis://localhost", {.host = "localhost", .port = 6379, .address = "localhost:6379"}},
    {"REDIS://h:1/", {.host = "h", .port = 1, .address = "h:1"}},
    {"redis://h:65535/15", {.host = "h", .port = 65535, .db = 15, .address = "h:65535"}},
    {"rediss://h", {.tls = true, .host = "h", .port = 6379, .address = "h:6379"}},
    {"redis://:pw@h", {.host = "h", .port = 6379, .password = "pw", .address = "h:6379"}},
    {"redis://u:pw@h:7/2", {.host = "h", .port = 7, .db = 2, .user = "u", .password = "pw", .address = "h:7"}},
    {"redis://u:p%40%2f%3A%25@h", {.host = "h", .port = 6379, .user = "u", .password = "p@/:%", .address = "h:6379"}},
    {"redis://u:p@q:r@h", {.host = "h", .port = 6379, .user = "u", .password = "p@q:r", .address = "h:6379"}},
    {"redis://:p#w/x?y@h:7/2", {.host = "h", .port = 7, .db = 2, .password = "p#w/x?y", .address = "h:7"}},
    {"rediss://u:/#@h", {.tls = true, .host = "h", .port = 6379, .user = "u", .password = "/#", .address = "h:6379"}},
    {"redis://u:p/q@[::1]:7", {.host = "::1", .port = 7, .user = "u", .password = "p/q", .address = "[::1]:7"}},
    {"unix://u:p/q#r?s@/s?db=1", {.path = "/s", .db = 1, .user = "u", .password = "p/q#r?s", .address = "/s"}},
    {"redis://:a b%20c@h", {.host = "h", .port = 6379, .password = "a b c", .address = "h:6379"}},
    {"unix:///tmp/a@/b", {.path = "/tmp/a@/b", .address = "/tmp/a@/b"}},
    {"redis://[::1]", {.host = "::1", .port = 6379, .address = "[::1]:6379"}},
    {"redis://:p@[fe80::2]:70/1", {.host = "fe80::2", .port = 70, .db = 1, .password = "p", .address = "[fe80::2]:70"}},
    {"unix:///run/redis.sock", {.path = "/run/redis.sock", .address = "/run/redis.sock"}},
    {"unix:///a%20b@c?db=3", {.path = "/a b@c", .db = 3, .address = "/a b@c"}},
    {"unix://u:p@/s", {.path = "/s", .user = "u", .password = "p", .address = "/s"}},
    {"unix://:p@/s?db=0", {.path = "/s", .password = "p", .address = "/s"}},
};

static const char *const bad[] = {
    "", "localhost", "http://h", "redis:/h", "redis://", "redis:///1", "redis://:6379", "redis://h:", "redis://h:0",
    "redis://h:65536", "redis://h:-1", "redis://h:+1", "redis://h: 1", "redis://h:1x", "redis://h:99999999999",
    "redis://h/x", "redis://h/1/2", "redis://h/-1", "redis://h?db=1", "redis://h#1", "redis://[::1", "redis://[]",
    "redis://[::1]x", "redis://::1", "redis://secret@h", "redis://u:@h", "redis://u:secret%4@h", "redis://u:secret%zz@h",
    "redis://u:secret%00@h", "redis://u:secret%0a@h", "redis://u:secret@", "redis://u:secret@h/x", "redis://u:secret#@", "redis://h%", "redis://secret/x", "redis://:secret/x",
    "unix://", "unix:///", "unix://run/s", "unix:///s?db=", "unix:///s?db=x", "unix:///s?x=1", "unix:///?db=1",
    "unix://secret@/s",
};

static void same(const char *what, const char *got, const char *want, const char *text)
{
    cr_expect((!got && !want) || (got && want && strcmp(got, want) == 0), "%s: %s is %s, not %s", text, what,
              got ? got : "NULL", want ? want : "NULL");
}

Test(redis_url, understood)
{
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct redis_url got = {0};
        struct error err = {0};
        cr_assert(redis_url_parse(good[i].text, &got, &err) == STATUS_OK, "%s: %s", good[i].text, err.message);
        const struct redis_url *want = &good[i].want;
        same("host", got.host, want->host, good[i].text);
        same("path", got.path, want->path, good[i].text);
        same("user", got.user, want->user, good[i].text);
        same("password", got.password, want->password, good[i].text);
        same("address", got.address, want->address, good[i].text);
        cr_expect(got.port == want->port && got.db == want->db && got.tls == want->tls, "%s", good[i].text);
        redis_url_finish(&got);
        redis_url_finish(&got); /* twice is fine */
    }
}

Test(redis_url, refused_without_showing_secrets)
{
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct redis_url got;
        struct error err = {0};
        cr_assert(redis_url_parse(bad[i], &got, &err) == STATUS_FAILED, "%s", bad[i]);
        cr_expect(err.class == ERROR_PERMANENT);
        cr_expect_str_eq(err.code, "redis_url");
        cr_expect(!strstr(err.message, "secret"), "%s: %s", bad[i], err.message);
        cr_expect(strstr(err.message, "expected redis://"), "%s: %s", bad[i], err.message);
        cr_expect(strstr(err.message, "%40 @"), "how a password is written, whole: %s", err.message);
    }
}

Test(redis_url, tls_needs_a_hiredis_that_has_it)
{
    struct redis_url url;
    struct error err = {0};
    cr_assert(redis_url_parse("rediss://h", &url, &err) == STATUS_OK);
#ifdef CHAT_HIREDIS_TLS
    cr_expect(redis_connect_supported(&url, &err) == STATUS_OK);
#else
    cr_expect(redis_connect_supported(&url, &err) == STATUS_FAILED);
    cr_expect_str_eq(err.code, "redis_tls");
    cr_expect(strstr(err.message, "build on Debian 13"));
#endif
    redis_url_finish(&url);
}
