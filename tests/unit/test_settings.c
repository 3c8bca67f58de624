/* Settings: the sources, refusals and their messages, and the texts made from the table. */
#include <criterion/criterion.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "service/settings_warnings.h"
#include "settings/settings.h"

#define BASE "kafka.bootstrap.servers=b:9092", "provider.main.url=http://h/v1/", "provider.main.model=m"

static char *write_file(const char *text)
{
    char *path = strdup("/tmp/chat-settings-XXXXXX");
    int fd = mkstemp(path);
    cr_assert(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    return path;
}

static struct settings *must_load(const char *file, char *const *environment, const char *const *overrides)
{
    struct settings *settings = NULL;
    struct error err = {0};
    struct settings_sources sources = {.file = file, .environment = environment, .overrides = overrides};
    cr_assert_eq(settings_load(&sources, &settings, &err), STATUS_OK, "%s", err.message);
    return settings;
}

static void must_refuse(const char *file, char *const *environment, const char *const *overrides, const char *a, const char *b)
{
    struct settings *settings = NULL;
    struct error err = {0};
    struct settings_sources sources = {.file = file, .environment = environment, .overrides = overrides};
    cr_assert_eq(settings_load(&sources, &settings, &err), STATUS_FAILED);
    cr_assert(strstr(err.message, a) && strstr(err.message, b), "\"%s\" has no \"%s\" and \"%s\"", err.message, a, b);
}

static char *print(const struct settings *settings)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    settings_print(settings, out);
    fclose(out);
    return text;
}

Test(settings, defaults_stand_and_the_last_source_wins)
{
    char *path = write_file("[kafka]\nbootstrap.servers=f:1\nlinger.ms = 3\n[worker]\nthreads = 7\n; a comment\n[provider.main]\nurl=http://h/v1/\nmodel=m\n");
    char *environment[] = {"CHATW__WORKER__THREADS=8", "CHATW__KAFKA__SASL_USERNAME=u", "CHAT_WORKER_PORT=tcp://1.2.3.4", NULL};
    const char *overrides[] = {"worker.threads=9", NULL};
    struct settings *settings = must_load(path, environment, overrides);
    cr_assert_eq(settings->worker.threads, 9);
    cr_assert_eq(settings->worker.gather_ms, 20);
    cr_assert_str_eq(settings->kafka.bootstrap_servers, "f:1");
    cr_assert_eq(settings->kafka.property_count, 2);
    cr_assert_str_eq(settings->kafka.properties[1].name, "sasl.username");
    cr_assert_str_eq(settings->providers[0].url, "http://h/v1", "no slash at the end");
    cr_assert_eq(settings->providers[0].attempt_timeout_ms, 30000);
    cr_assert(settings->providers[0].requests_per_minute == 0 && settings->providers[0].tokens_per_minute == 0 && settings->llm.tenant_tokens_per_day == 0, "no limits");
    cr_assert_eq(settings->providers[0].burst_ms, 6000);
    cr_assert_str_eq(settings->llm.tenant_member, "tenant");
    settings_destroy(settings);
    unlink(path);
    free(path);
}

#define NAME_OF_64 "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"

Test(settings, what_is_wrong_is_named_with_where_and_what_would_do)
{
    static const struct {
        const char *override, *a, *b;
    } rows[] = {{"worker.threads=0", "-X worker.threads", "1 to 5000"},
                {"worker.threads=many", "worker.threads", "whole number"},
                {"worker.thread=4", "worker.thread", "do you mean threads?"},
                {"nowhere.x=1", "nowhere.x", "unknown"},
                {"worker.ordering=random", "ordering", "key, partition, none"},
                {"worker.delivery=twice", "delivery", "at-least-once, exactly-once"},
                {"kafka.transactional.id=mine", "kafka.transactional.id", "leave it out"},
                {"kafka.acks=1", "kafka.acks", "all"},
                {"kafka.enable.auto.commit=true", "enable.auto.commit", "leave it out"},
                {"kafka.enable.idempotence=false", "enable.idempotence", "true"},
                {"llm.providers=other", "[provider.other]", "section"},
                {"llm.providers=main,two", "llm.providers", "[provider.two]"},
                {"llm.providers=main,main", "llm.providers", "main twice"},
                {"llm.overflow_provider=two", "llm.overflow_provider", "[provider.two]"},
                {"llm.filter_provider=two", "llm.filter_provider", "[provider.two]"},
                {"provider.main.requests_per_minute=-1", "provider.main.requests_per_minute", "0 to 1000000000"},
                {"provider.main.tokens_per_minute=1000000001", "provider.main.tokens_per_minute", "0 to 1000000000"},
                {"provider.main.burst_ms=3600001", "provider.main.burst_ms", "0 to 3600000"},
                {"llm.tenant_member=", "llm.tenant_member", "can't be empty"},
                {"llm.tenant_tokens_per_day=all", "llm.tenant_tokens_per_day", "whole number"},
                {"llm.hedge_after_ms=soon", "llm.hedge_after_ms", "nor auto"},
                {"provider.main.params=[1]", "provider.main.params", "JSON object"},
                {"provider.main.params={\"stream\":true}", "provider.main.params", "stream"},
                {"provider.main.url=ftp://x", "provider.main.url", "http"},
                {"provider.main.api_key_file=/nowhere/key", "api_key", "/nowhere/key"},
                {"provider.main.api_key_file=/tmp", "api_key", "can't be read"},
                {"worker.jobs_topic=", "worker.jobs_topic", "can't be empty"},
                {"worker.jobs_topic=my jobs", "worker.jobs_topic", "no topic's name"},
                {"worker.jobs_topic=chat.dead", "worker.dead_topic", "-X worker.jobs_topic"},
                {"worker.reply_topics_allowed=answers,chat.jobs", "worker.reply_topics_allowed", "not name worker.jobs_topic"},
                {"worker.control_topic=chat.jobs", "worker.control_topic", "differ from worker.jobs_topic"},
                {"worker.control_topic=my control", "worker.control_topic", "no topic's name"},
                {"worker.engine=fibers", "worker.engine", "threads, loop"},
                {"llm.strategy=both", "llm.strategy", "sequential, hedge, race"},
                {"worker.gather_ms=101", "0 to 100", "-X worker.gather_ms"},
                {"worker.threads=99999999999999999999", "worker.threads", "1 to 5000"},
                {"redis.lease_ms=2999", "redis.lease_ms", "3000"},
                {"redis.timeout_ms=10001", "-X redis.timeout_ms", "at most 10000, or redis.lease_ms of at least 30003"},
                {"retry.timeout_ms=9", "unknown", "redis.timeout_ms"},
                {"provider.main.timeout_ms=9", "provider.main.timeout_ms", "do you mean attempt_timeout_ms?"},
                {"provider.main.api_key_fil=/x", "api_key_fil", "do you mean api_key_file?"},
                {"wroker.threads=3", "wroker.threads", "do you mean worker.threads?"},
                {"kafak.linger.ms=3", "kafak.linger.ms", "do you mean kafka.linger.ms?"},
                {"provder.main.url=http://x", "provder.main.url", "do you mean provider.main.url?"},
                {"Provider.main.api_ky=x", "Provider.main.api_ky", "do you mean provider.main.api_key?"},
                {"worker.Threads=3", "worker.Threads", "do you mean threads?"},
                {"worker.htreads=3", "worker.htreads", "do you mean threads?"},
                {"worker.completely_else=3", "completely_else", "--help"},
                {"provider.main=x", "-X provider.main", "section.key=value"},
                {"provider..url=x", "provider..url", "unknown"},
                {"provider.a\"b.url=http://h", "-X provider.a\"b.url: [provider.a\"b]", "a-z A-Z 0-9 . _ -, 64 at most"},
                {"provider.caf\u00e9.url=http://h", "[provider.caf\u00e9]", "a-z A-Z 0-9 . _ -, 64 at most"},
                {"provider." NAME_OF_64 "x.url=http://h", "[provider.nnn", "64 at most"},
                {"provider." NAME_OF_64 ".url=", "provider." NAME_OF_64 ".url", "needed"},
                {"provider.main.url=http:///v1", "-X provider.main.url", "host"},
                {"provider.main.url=", "provider.main.url", "needed"},
                {"provider.two.model=m", "provider.two.url", "needed"},
                {"provider.main.params={", "-X provider.main.params", "JSON object"},
                {"provider.main.params={\"n\":2}", "provider.main.params", "n is the worker's"},
                {"provider.main.api_key=a\nb", "provider.main.api_key", "line break"},
                {"provider.main.headers=[]", "-X provider.main.headers: provider.main.headers: is no JSON object", "{\"X-Title\":"},
                {"provider.main.headers='{}'", "provider.main.headers", "write it without quotes (one that has them goes into a file: headers_file)"},
                {"kafka.group.id=", "kafka.group.id", "empty"},
                {"kafka.enable.auto.offset.store=true", "-X kafka.enable.auto.offset.store", "false"},
                {"llm.providers=", "llm.providers", "no provider"},
                {"llm.contexts=profile", "-X llm.contexts", "[context.profile]; add it with url"},
                {"llm.system_prompt=\xff", "-X llm.system_prompt", "UTF-8"},
                {"llm.context_prompt=\xff", "-X llm.context_prompt", "UTF-8"},
                {"llm.context_fetch=both", "llm.context_fetch", "together, in-turn"},
                {"llm.context_prompt=Known: {profile}", "-X llm.context_prompt", "{profile} names none of llm.contexts"},
                {"context.profile.timeout_ms=9", "-X context.profile.timeout_ms", "10 to"},
                {"context.profile.timout_ms=99", "timout_ms", "do you mean timeout_ms?"},
                {"context.profile.kind=image", "context.profile.kind", "text, moderation"},
                {"context.profile.required=yes", "context.profile.required", "false, true"},
                {"contxt.profile.byte_max=9", "contxt", "unknown"},
                {"context.profile.required=true", "context.profile.url", "needed"},
                {"context.profile=x", "-X context.profile", "section.key=value"},
                {"threads", "-X threads", "section.key=value"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *overrides[] = {BASE, rows[i].override, NULL};
        must_refuse(NULL, NULL, overrides, rows[i].a, rows[i].b);
    }
    must_refuse(NULL, NULL, NULL, "kafka.bootstrap.servers", "needed");
    must_refuse("/nowhere.ini", NULL, NULL, "/nowhere.ini", "read");
}

#define PROFILE "context.profile.url=https://me:sesame@h/p/{user}?s={session}&j={job}"

Test(settings, contexts_stand_in_the_order_they_are_fetched_in)
{
    const char *overrides[] = {BASE, "context.spare.url=http://s", "context.rules.url=http://r", "context.rules.kind=moderation", "context.rules.required=true", PROFILE,
                               "context.profile.api_key=sesame", "llm.contexts=profile, rules", "llm.context_prompt=Known: {profile} {\"a\": 1}", NULL};
    char *environment[] = {"CHATW__CONTEXT__PROFILE__TIMEOUT_MS=50", NULL};
    struct settings *settings = must_load(NULL, environment, overrides);
    cr_assert_eq(settings->context_count, 3);
    cr_assert_eq(settings->fetched_count, 2);
    cr_assert_str_eq(settings->contexts[0].name, "profile");
    cr_assert_str_eq(settings->contexts[1].name, "rules");
    cr_assert_eq(settings->contexts[0].timeout_ms, 50);
    cr_assert_eq(settings->contexts[0].bytes_max, 16384);
    cr_assert_eq(settings->contexts[0].required, CONTEXT_OPTIONAL);
    cr_assert_eq(settings->contexts[1].required, CONTEXT_REQUIRED);
    cr_assert_eq(settings->contexts[1].kind, CONTEXT_MODERATION);
    cr_assert_eq(settings->contexts[1].timeout_ms, 2000);
    cr_assert_eq(settings->llm.context_fetch, CONTEXT_TOGETHER);
    AUTO_FREE char *text = print(settings);
    cr_assert(strstr(text, "[context.profile]\nurl = https://me:***@h/p/{user}?s={session}&j={job}\n"), "%s", text);
    cr_assert(strstr(text, "[context.spare]"));
    cr_assert(strstr(text, "contexts = profile,rules"));
    cr_assert(strstr(text, "required = true"));
    cr_assert_null(strstr(text, "sesame"));
    settings_destroy(settings);
}

Test(settings, what_a_context_can_not_be_is_refused)
{
    static const struct {
        const char *override, *a, *b;
    } rows[] = {{"context.profile.url=ftp://h", "-X context.profile.url", "http"},
                {"context.profile.url=http://{user}.h/p", "context.profile.url", "only behind the host"},
                {"context.profile.url=http://h:{job}/p", "context.profile.url", "only behind the host"},
                {"context.profile.url=http:///p", "context.profile.url", "host"},
                {"context.profile.url=http://h/a b", "context.profile.url", "spaces"},
                {"context.profile.url=http://h/p#{user}", "context.profile.url", "#"},
                {"context.profile.url=http://h/{tenant}", "context.profile.url", "{tenant}"},
                {"context.profile.url=http://h/{user", "context.profile.url", "filled in"},
                {"context.profile.api_key=a\nb", "context.profile.api_key", "line break"},
                {"context.my profile.url=http://h", "-X context.my profile.url: [context.my profile]", "a-z A-Z 0-9 . _ -, 64 at most"},
                {"llm.contexts=profile,profile", "llm.contexts", "profile twice"},
                {"llm.context_prompt={rules}", "llm.context_prompt", "{rules}"},
                {"llm.context_prompt={profil}", "llm.context_prompt", "{profil}"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *overrides[] = {BASE, PROFILE, "context.rules.url=http://r", "context.rules.kind=moderation", "llm.contexts=profile,rules", rows[i].override, NULL};
        must_refuse(NULL, NULL, overrides, rows[i].a, rows[i].b);
    }
}

Test(settings, what_would_undo_exactly_once_is_refused)
{
    static const struct {
        const char *override, *a, *b;
    } rows[] = {{"kafka.bootstrap.servers=embedded", "-X worker.delivery", "or use at-least-once"},
                {"kafka.isolation.level=read_uncommitted", "-X kafka.isolation.level", "read_committed"},
                {"kafka.message.timeout.ms=0", "-X kafka.message.timeout.ms", "leave it out"},
                {"kafka.delivery.timeout.ms=10001", "kafka.delivery.timeout.ms", "10000"},
                {"kafka.transaction.timeout.ms=1000", "worker.transaction_ms", "lower it"},
                {"kafka.transactional.id=mine", "kafka.transactional.id", "leave it out"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *overrides[] = {BASE, "worker.delivery=exactly-once", "worker.transaction_ms=600", rows[i].override, NULL};
        must_refuse(NULL, NULL, overrides, rows[i].a, rows[i].b);
    }
    const char *overrides[] = {BASE, "worker.delivery=exactly-once", "kafka.isolation.level=read_committed", "kafka.transaction.timeout.ms=60000",
                               "kafka.message.timeout.ms=20000", NULL};
    struct settings *settings = must_load(NULL, NULL, overrides);
    cr_assert_eq(settings->worker.delivery, DELIVERY_EXACTLY_ONCE);
    settings_destroy(settings);
}

/* A file's text, from a repeated character where a line must be long. */
static char *line_of(const char *before, size_t count, const char *after)
{
    char *text = NULL;
    AUTO_FREE char *many = calloc(1, count + 1);
    memset(many, 'x', count);
    cr_assert(asprintf(&text, "%s%s%s", before, many, after) > 0);
    return text;
}

#define NEEDS "[kafka]\nbootstrap.servers=b\n[provider.main]\nurl=http://h\nmodel=m\n"

/* ---- librdkafka's names ---- */

static bool knows(const char *name)
{
    return strcmp(name, "bootstrap.servers") == 0 || strcmp(name, "group.id") == 0 || strcmp(name, "linger.ms") == 0 || strcmp(name, "sasl.password") == 0 ||
           strcmp(name, "plugin.library.paths") == 0;
}

/* Rows as rd_kafka_conf_properties_show prints them. */
static void show(FILE *out)
{
    fputs("## Global configuration properties\n\nProperty                                 | C/P | Range           |       Default | Importance | Description   \n"
          "-----------------------------------------|-----|-----------------|--------------:|------------|--------------------------\n"
          "bootstrap.servers                        |  *  |                 |               | high       | Alias for `metadata.broker.list`\n"
          "group.id                                 |  C  |                 |               | high       | Client group id string.\n"
          "linger.ms                                |  P  | 0 .. 900000     |             5 | high       | Alias for `queue.buffering.max.ms`\n"
          "sasl.password                            |  *  |                 |               | high       | SASL password\n\n",
          out);
}

static const struct kafka_names names = {.is_known = knows, .show = show};

Test(settings, a_property_that_librdkafka_does_not_know_is_named_with_its_place)
{
    static const struct {
        const char *file, *variable, *override, *a, *b;
    } rows[] = {{"[kafka]\nbootstrap.server = b:9092\n", NULL, NULL, ":2: kafka.bootstrap.server is unknown", "do you mean bootstrap.servers?"},
                {"[kafka]\nbootstrap_servers = b:9092\n", NULL, NULL, ":2: kafka.bootstrap_servers", "do you mean bootstrap.servers?"},
                {"[kafka]\nservers = b:9092\n", NULL, NULL, ":2: kafka.servers", "do you mean bootstrap.servers?"},
                {"[worker]\nbootstrap.servers = b:9092\n", NULL, NULL, ":2: worker.bootstrap.servers", "do you mean kafka.bootstrap.servers?"},
                {"bootstrap.servers = b:9092\n", NULL, NULL, ":1: .bootstrap.servers", "do you mean kafka.bootstrap.servers?"},
                {"[kakfa]\nbootstrap.servers = b:9092\n", NULL, NULL, ":2: kakfa.bootstrap.servers", "do you mean kafka.bootstrap.servers?"},
                {"[kafka]\nnothing.like.it = 1\n", NULL, NULL, ":2: kafka.nothing.like.it is unknown to librdkafka", "CONFIGURATION.md"},
                {NULL, "CHATW__KAFKA__BOOTSTRAP_SERVER=b", NULL, "CHATW__KAFKA__BOOTSTRAP_SERVER: kafka.bootstrap.server is", "do you mean bootstrap.servers?"},
                {NULL, "CHATW__KAFKA__SASL_PASWORD=b", NULL, "CHATW__KAFKA__SASL_PASWORD", "do you mean sasl.password?"},
                {NULL, "CHATW__PROVIDR__MAIN__API_KEY=b", NULL, "CHATW__PROVIDR__MAIN__API_KEY", "do you mean provider.main.api_key?"},
                {NULL, "CHATW__PROVIDER__X__API_KY=b", NULL, "CHATW__PROVIDER__X__API_KY", "do you mean api_key?"},
                {NULL, NULL, "kafka.lingr.ms=1", "-X kafka.lingr.ms", "do you mean linger.ms?"},
                {NULL, NULL, "kafka.groupid=1", "-X kafka.groupid", "do you mean group.id?"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *path = rows[i].file != NULL ? write_file(rows[i].file) : NULL;
        char *environment[] = {(char *)(uintptr_t)rows[i].variable, NULL};
        const char *overrides[] = {rows[i].override, NULL};
        struct settings *settings = NULL;
        struct error err = {0};
        struct settings_sources sources = {.file = path, .environment = environment, .overrides = overrides, .kafka_names = &names};
        cr_expect_eq(settings_load(&sources, &settings, &err), STATUS_FAILED, "row %zu", i);
        cr_expect(strstr(err.message, rows[i].a) && strstr(err.message, rows[i].b), "\"%s\" has no \"%s\" and \"%s\"", err.message, rows[i].a, rows[i].b);
        if (path != NULL)
            unlink(path);
        free(path);
    }
}

Test(settings, a_plugin_brings_properties_of_its_own)
{
    const char *overrides[] = {BASE, "kafka.plugin.library.paths=monitoring", "kafka.monitoring.x=1", NULL};
    struct settings *settings = NULL;
    struct error err = {0};
    struct settings_sources sources = {.overrides = overrides, .kafka_names = &names};
    cr_assert_eq(settings_load(&sources, &settings, &err), STATUS_OK, "%s", err.message);
    settings_destroy(settings);
}

Test(settings, a_property_has_its_place)
{
    char *path = write_file("[kafka]\nbootstrap.servers = b\nlinger.ms = 3\n");
    const char *overrides[] = {"provider.main.url=http://h/v1/", "provider.main.model=m", "kafka.linger.ms=4", NULL};
    struct settings *settings = must_load(path, NULL, overrides);
    cr_assert_str_eq(settings->kafka.properties[0].value, "4");
    cr_assert_str_eq(settings->kafka.properties[0].where, "-X kafka.linger.ms");
    settings_destroy(settings);
    unlink(path);
    free(path);
}

/* A reader of lines would take the rest of it for keys and sections, and report those. */
Test(settings, an_object_over_several_lines_is_told_as_what_it_is)
{
    static const struct {
        const char *lines, *a, *b;
    } rows[] = {{"headers = {\n  \"X-A\": \"sesame\",\n  \"X-B\": \"sesame\"\n}\n", ":2: provider.main.headers: ", "write it in one line, or into a file (headers_file)"},
                {"headers = {\"X-A\": \"sesame\",\n\"sesame\": \"c\"}\n", ":2: provider.main.headers: ", "headers_file"},
                {"headers = {\"X-A\": \"sesame ; sesame\"}\n", ":2: provider.main.headers: ", "before a ; behind white space"},
                {"headers =\n{\"sesame\": \"c\"}\n", ":3: ", "doesn't go on in the next line"},
                {"params = {\"a\": {\"b\": 1},\n \"c\": 1}\n", ":2: provider.main.params: ", "write it in one line"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO_FREE char *text = xasprintf("[provider.main]\n%s", rows[i].lines);
        char *path = write_file(text);
        struct settings *settings = NULL;
        struct error err = {0};
        struct settings_sources sources = {.file = path};
        cr_expect_eq(settings_load(&sources, &settings, &err), STATUS_FAILED);
        cr_expect(strstr(err.message, rows[i].a) && strstr(err.message, rows[i].b), "\"%s\" has no \"%s\" and \"%s\"", err.message, rows[i].a, rows[i].b);
        cr_expect_null(strstr(err.message, "sesame"), "%s", err.message);
        unlink(path);
        free(path);
    }
}

/* ---- quotes ---- */

Test(settings, quotes_are_told_as_what_they_are)
{
    static const struct {
        const char *line, *variable, *override, *a;
    } rows[] = {{"[provider.main]\nurl = \"http://h/v1\"\n", NULL, NULL, ":2: provider.main.url: the quotes are a part of the value"},
                {"[provider.main]\nurl = 'http://h/v1'\n", NULL, NULL, ":2: provider.main.url: the quotes"},
                {"[provider.main]\nurl = \"http://h/v1\n", NULL, NULL, ":2: provider.main.url: the quotes"},
                {"[provider.main]\nurl = \u201chttp://h/v1\u201d\n", NULL, NULL, ":2: provider.main.url: the quotes"},
                {"[provider.main]\nmodel = \"m\" ; a comment\n", NULL, NULL, ":2: provider.main.model: the quotes"},
                {"[provider.main]\nparams = '{\"top_p\":1}'\n", NULL, NULL, ":2: provider.main.params: the quotes"},
                {"[worker]\nthreads = \"64\"\n", NULL, NULL, ":2: worker.threads: the quotes"},
                {"[worker]\ncontrol_topic = \"\"\n", NULL, NULL, ":2: worker.control_topic: the quotes"},
                {"[worker]\nordering = 'key'\n", NULL, NULL, ":2: worker.ordering: the quotes"},
                {"[worker]\nreply_topics_allowed = a, \"b\"\n", NULL, NULL, ":2: worker.reply_topics_allowed: the quotes"},
                {"[redis]\nurl = \"redis://h\"\n", NULL, NULL, ":2: redis.url: the quotes"},
                {"[kafka]\nbootstrap.servers = \"b:9092\"\n", NULL, NULL, ":2: kafka.bootstrap.servers: the quotes"},
                {"[kafka]\nsasl.password = \"secret\"\n", NULL, NULL, "sasl.password_file)"},
                {"[llm]\nsystem_prompt = \"Be brief.\"\n", NULL, NULL, "system_prompt_file)"},
                {"[provider.main]\napi_key_file = \"/run/key\"\n", NULL, NULL, ":2: provider.main.api_key_file: the quotes"},
                {NULL, "CHATW__PROVIDER__MAIN__API_KEY=\"k-secret\"", NULL, "CHATW__PROVIDER__MAIN__API_KEY: provider.main.api_key: the quotes"},
                {NULL, NULL, "worker.jobs_topic='chat.jobs'", "-X worker.jobs_topic: worker.jobs_topic: the quotes"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *path = rows[i].line != NULL ? write_file(rows[i].line) : NULL;
        char *environment[] = {(char *)(uintptr_t)rows[i].variable, NULL};
        const char *overrides[] = {rows[i].override, NULL};
        must_refuse(path, environment, overrides, rows[i].a, "write it without quotes");
        struct settings *settings = NULL;
        struct error err = {0};
        struct settings_sources sources = {.file = path, .environment = environment, .overrides = overrides};
        cr_expect_eq(settings_load(&sources, &settings, &err), STATUS_FAILED);
        cr_expect_null(strstr(err.message, "secret"), "a value in \"%s\"", err.message);
        if (path != NULL)
            unlink(path);
        free(path);
    }
}

Test(settings, quotes_that_are_meant_are_taken)
{
    char *key = write_file("\"quoted\"\n");
    char *from_file = xasprintf("provider.main.api_key_file=%s", key);
    const char *overrides[] = {BASE, "llm.system_prompt=\"Yes\" and \"no\"", "llm.context_prompt=\"Yes\" is all you say", "provider.main.params={\"stop\":\"'\"}", from_file, NULL};
    struct settings *settings = must_load(NULL, NULL, overrides);
    cr_assert_str_eq(settings->llm.system_prompt, "\"Yes\" and \"no\"");
    cr_assert_str_eq(settings->llm.context_prompt, "\"Yes\" is all you say");
    cr_assert_str_eq(settings->providers[0].api_key, "\"quoted\"");
    settings_destroy(settings);
    unlink(key);
    free(key);
    free(from_file);
}

Test(settings, a_file_is_refused_by_line)
{
    struct {
        char *text;
        const char *a, *b;
    } rows[] = {{strdup("[worker]\n\nthreds = 3\n"), ":3", "threads"},
                {strdup("[worker]\nnonsense\n"), ":2", "key = value"},
                {strdup("[worker\nthreads = 3\n"), ":1", "[section]"},
                {strdup("[worker] threads = 3\n"), ":1", "new line"},
                {strdup("threads = 3\n"), ":1", "do you mean worker.threads?"},
                {strdup(NEEDS "model = \n"), "provider.main.model", "needed"},
                {strdup("[kafka]\nbootstrap.servers=b\n[llm]\nproviders = other\n"), ":4", "[provider.other]"},
                {strdup(NEEDS "params = nonsense\n"), ":6", "JSON"},
                {line_of("[", 500, "]\nkey=\n"), ":2", "is unknown"},
                {line_of("[worker]\n", 5000, "=3\n"), ":2", "is unknown"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *path = write_file(rows[i].text);
        must_refuse(path, NULL, NULL, rows[i].a, rows[i].b);
        unlink(path);
        free(path);
        free(rows[i].text);
    }
    must_refuse("/tmp", NULL, NULL, "/tmp", "can't be read");
}

Test(settings, a_file_of_other_editors_is_read_as_it_was_meant)
{
    AUTO_FREE char *text = line_of("\xef\xbb\xbf[worker]\r\n  threads = 7\r\n\tgather_ms = 6 ; soon\r\n# ", 900, "\r\n[llm]\r\nsystem_prompt=");
    AUTO_FREE char *whole = NULL;
    AUTO_FREE char *longest = line_of(text, 20000, "\n" NEEDS);
    cr_assert(asprintf(&whole, "%s[provider.no-end]\nurl=https://h\nmodel=last", longest) > 0);
    char *path = write_file(whole);
    struct settings *settings = must_load(path, NULL, NULL);
    cr_assert_eq(settings->worker.threads, 7);
    cr_assert_eq(settings->worker.gather_ms, 6);
    cr_assert_eq(strlen(settings->llm.system_prompt), 20000, "a line may be of any length");
    cr_assert_str_eq(settings->providers[1].model, "last");
    settings_destroy(settings);
    unlink(path);
    free(path);
}

Test(settings, a_file_may_be_a_pipe)
{
    int ends[2];
    char path[40];
    cr_assert(pipe(ends) == 0 && write(ends[1], NEEDS, strlen(NEEDS)) == (ssize_t)strlen(NEEDS));
    close(ends[1]);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    settings_destroy(must_load(path, NULL, NULL));
    close(ends[0]);
}

Test(settings, an_unknown_variable_of_ours_is_refused_and_others_are_ignored)
{
    static const struct {
        const char *variable, *a;
    } rows[] = {{"CHATW__WORKER__THREDS=8", "threads"},
                {"CHATW__WORKER=8", "CHATW__SECTION__KEY"},
                {"CHATW__PROVIDER__URL=8", "CHATW__PROVIDER__NAME__KEY"},
                {"CHATW__CONTEXT__URL=8", "CHATW__CONTEXT__NAME__KEY"},
                {"CHATW__NOWHERE__AT_ALL=8", "unknown"},
                {"CHATW__WORKER__THREADS=", "whole number"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO_FREE char *variable = strdup(rows[i].variable);
        AUTO_FREE char *name = strndup(variable, strcspn(variable, "="));
        char *environment[] = {variable, NULL};
        must_refuse(NULL, environment, NULL, name, rows[i].a);
    }
}

Test(settings, variables_reach_every_section_in_capitals)
{
    char *path = write_file("[kafka]\nbootstrap.servers=f\n[llm]\nproviders=EU-west\n[provider.EU-west]\nurl=http://h\nmodel=m\n");
    char *environment[] = {"CHATW__KAFKA__BOOTSTRAP_SERVERS=e:1", "CHATW__WORKER__JOBS_TOPIC=mine", "CHATW__PROVIDER__EU_WEST__API_KEY=k",
                           "CHATW__WORKER__REPLY_TOPICS_ALLOWED= a , b,,", NULL};
    struct settings *settings = must_load(path, environment, NULL);
    cr_assert_str_eq(settings->kafka.bootstrap_servers, "e:1");
    cr_assert_eq(settings->kafka.property_count, 0);
    cr_assert_str_eq(settings->kafka.group_id, "chat-worker");
    cr_assert_str_eq(settings->worker.jobs_topic, "mine");
    cr_assert_eq(settings->provider_count, 1);
    cr_assert_str_eq(settings->providers[0].api_key, "k");
    cr_assert_str_eq(settings->worker.reply_topics_allowed[0], "a");
    cr_assert_str_eq(settings->worker.reply_topics_allowed[1], "b");
    cr_assert_null(settings->worker.reply_topics_allowed[2]);
    settings_destroy(settings);
    unlink(path);
    free(path);
}

Test(settings, a_secret_and_its_twin_in_one_source_are_refused_and_a_later_source_wins)
{
    char *key = write_file("of-file\n");
    AUTO_FREE char *variable = NULL;
    AUTO_FREE char *sasl = NULL;
    cr_assert(asprintf(&variable, "CHATW__PROVIDER__MAIN__API_KEY_FILE=%s", key) > 0);
    cr_assert(asprintf(&sasl, "kafka.sasl.password_file=%s", key) > 0);
    const char *both[] = {BASE, "kafka.sasl.password=x", sasl, NULL};
    must_refuse(NULL, NULL, both, "-X kafka.sasl.password_file", "(-X kafka.sasl.password); give one");
    char *both_variables[] = {variable, "CHATW__PROVIDER__MAIN__API_KEY=x", NULL};
    const char *base[] = {BASE, "provider.main.api_key=y", NULL};
    must_refuse(NULL, both_variables, base, "CHATW__PROVIDER__MAIN__API_KEY_FILE", "give one");

    char *environment[] = {variable, NULL};
    struct settings *settings = must_load(NULL, environment, base);
    cr_assert_str_eq(settings->providers[0].api_key, "y", "plain over an earlier twin");
    settings_destroy(settings);
    char *ini = write_file(NEEDS "api_key=of-ini\n[redis]\nurl_file=/nowhere\n");
    char *later[] = {variable, "CHATW__REDIS__URL=redis://h", NULL};
    settings = must_load(ini, later, NULL);
    cr_assert_str_eq(settings->providers[0].api_key, "of-file", "a twin over an earlier plain one");
    cr_assert_str_eq(settings->redis.url, "redis://h", "the file that lost isn't read");
    settings_destroy(settings);
    const char *twice[] = {BASE, "kafka.sasl.password_file=/nowhere", sasl, NULL};
    settings_destroy(must_load(NULL, NULL, twice));
    char *files[] = {key, ini};
    for (size_t i = 0; i < 2; i++) {
        unlink(files[i]);
        free(files[i]);
    }
}

Test(settings, secrets_come_from_files_and_are_masked_when_printed)
{
    char *key = write_file("\xef\xbb\xbfsk-secret\r\n");
    char *prompt = write_file("Two lines,\nsee https://sesame/\n\n");
    char *redis = write_file("redis://user:sesame@h:1/2\n");
    char *headers = write_file("{\"X-Gateway\":\n \"sesame\"}\n");
    char headers_file[100], api_key_file[100], sasl_file[100], prompt_file[100], url_file[100], token_file[100];
    snprintf(api_key_file, sizeof api_key_file, "provider.main.api_key_file=%s", key);
    snprintf(sasl_file, sizeof sasl_file, "kafka.sasl.password_file=%s", key);
    snprintf(prompt_file, sizeof prompt_file, "llm.system_prompt_file=%s", prompt);
    snprintf(url_file, sizeof url_file, "redis.url_file=%s", redis);
    snprintf(headers_file, sizeof headers_file, "provider.main.headers_file=%s", headers);
    snprintf(token_file, sizeof token_file, "admin.token_file=%s", key);
    const char *overrides[] = {BASE, api_key_file, token_file, headers_file, sasl_file, prompt_file, url_file, "provider.main.url=https://me:sesame@gateway/v1",
                               "kafka.ssl.key.pem=sesame", "kafka.client.id=shown", NULL};
    struct settings *settings = must_load(NULL, NULL, overrides);
    cr_assert_str_eq(settings->providers[0].api_key, "sk-secret");
    cr_assert_str_eq(settings->providers[0].sent_headers[0].value, "sesame");
    cr_assert_str_eq(settings->kafka.properties[0].value, "sk-secret");
    cr_assert_str_eq(settings->admin.token, "sk-secret");
    cr_assert_str_eq(settings->llm.system_prompt, "Two lines,\nsee https://sesame/\n");
    cr_assert_str_eq(settings->redis.url, "redis://user:sesame@h:1/2");
    AUTO_FREE char *text = print(settings);
    cr_assert_null(strstr(text, "sk-secret"));
    cr_assert_null(strstr(text, "sesame"));
    cr_assert(strstr(text, "url = redis://user:***@h:1/2"));
    cr_assert(strstr(text, "url = https://me:***@gateway/v1"));
    cr_assert(strstr(text, "ssl.key.pem = ***"));
    cr_assert(strstr(text, "system_prompt = ***"));
    cr_assert(strstr(text, "\nheaders = {\"X-Gateway\":\"***\"}\n"), "the names are no secrets");
    cr_assert(strstr(text, "client.id = shown"));
    settings_destroy(settings);
    char *files[] = {key, prompt, redis, headers};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        unlink(files[i]);
        free(files[i]);
    }
}

/* As a header's value: servers remove it, and echo the rest. */
Test(settings, white_space_around_a_key_is_none_of_it)
{
    char *key = write_file(" \tsk-secret \n");
    char key_file[100];
    snprintf(key_file, sizeof key_file, "provider.main.api_key_file=%s", key);
    char token_file[100];
    snprintf(token_file, sizeof token_file, "admin.token_file=%s", key);
    const char *overrides[] = {BASE, key_file, token_file, "provider.spare.url=http://h", "provider.spare.model=m", "provider.spare.api_key= \t ",
                               "context.profile.url=http://h", "context.profile.api_key= ses ame ", NULL};
    struct settings *settings = must_load(NULL, NULL, overrides);
    cr_expect_str_eq(settings->providers[0].api_key, "sk-secret");
    cr_expect_null(settings->providers[1].api_key, "nothing is left: none is given");
    cr_expect_str_eq(settings->contexts[0].api_key, "ses ame");
    cr_expect_str_eq(settings->admin.token, "sk-secret");
    settings_destroy(settings);
    unlink(key);
    free(key);
}

Test(settings, a_token_that_nobody_can_bring_is_refused)
{
    char option[600] = "admin.token=";
    const char *fine[] = {BASE, option, NULL};
    memset(option + strlen(option), 'x', 512);
    settings_destroy(must_load(NULL, NULL, fine));
    memset(option + strlen(option), 'x', 1);
    must_refuse(NULL, NULL, fine, "admin.token", "512");
    char *path = write_file("one\ntwo\n");
    snprintf(option, sizeof option, "admin.token_file=%s", path);
    must_refuse(NULL, NULL, fine, "admin.token", "line break");
    snprintf(option, sizeof option, "admin.token= \t ");
    struct settings *settings = must_load(NULL, NULL, fine);
    cr_expect_null(settings->admin.token, "nothing is left: none is given");
    settings_destroy(settings);
    unlink(path);
    free(path);
}

Test(settings, a_secret_s_file_that_is_no_text_of_bounded_size_is_refused)
{
    char *path = write_file("");
    char option[100];
    snprintf(option, sizeof option, "provider.main.api_key_file=%s", path);
    const char *overrides[] = {BASE, option, NULL};
    cr_assert_eq(truncate(path, 65536), 0);
    must_refuse(NULL, NULL, overrides, path, "longer than 65535");
    cr_assert_eq(truncate(path, 3), 0);
    must_refuse(NULL, NULL, overrides, path, "NUL");
    unlink(path);
    free(path);
}

Test(settings, an_event_loop_makes_no_redis_calls)
{
    const char *overrides[] = {BASE, "worker.engine=loop", "worker.in_flight=7", "worker.threads=9", NULL};
    struct settings *settings = must_load(NULL, NULL, overrides);
    cr_assert_eq(settings_jobs_at_once(settings), 7);
    settings_destroy(settings);
    const char *per_thread[] = {BASE, "worker.engine=loop", "worker.redis_io=per-thread", NULL};
    must_refuse(NULL, NULL, per_thread, "worker.redis_io", "batched");
    const char *of_threads[] = {BASE, "worker.in_flight=7", "worker.threads=9", "worker.redis_io=per-thread", NULL};
    settings = must_load(NULL, NULL, of_threads);
    cr_assert_eq(settings_jobs_at_once(settings), 9);
    settings_destroy(settings);
}

Test(settings, an_answer_of_redis_has_a_third_of_a_lease_at_most)
{
    const char *shortest[] = {BASE, "redis.lease_ms=3000", NULL};
    struct settings *settings = must_load(NULL, NULL, shortest);
    cr_assert_eq(settings->redis.timeout_ms, 1000, "what wasn't given follows");
    settings_destroy(settings);
    const char *given[] = {BASE, "redis.lease_ms=3000", "redis.timeout_ms=1000", NULL};
    settings = must_load(NULL, NULL, given);
    cr_assert_eq(settings->redis.timeout_ms, 1000);
    settings_destroy(settings);
    const char *too_long[] = {BASE, "redis.lease_ms=3000", "redis.timeout_ms=2000", NULL};
    must_refuse(NULL, NULL, too_long, "-X redis.timeout_ms", "at most 1000");
    const char *of_a_file[] = {"redis.lease_ms=3000", NULL};
    char *path = write_file("[kafka]\nbootstrap.servers = k\n[provider.main]\nurl = http://h\nmodel = m\n[redis]\ntimeout_ms = 1001\n");
    must_refuse(path, NULL, of_a_file, ":7", "redis.lease_ms");
    unlink(path);
    free(path);
}

static void collect(const char *message, void *arg)
{
    char *all = arg;
    strcat(strcat(all, message), "\n");
}

Test(settings, what_is_valid_but_unwise_is_warned_of)
{
    char all[4000] = "";
    const char *plain[] = {BASE, NULL};
    struct settings *settings = must_load(NULL, NULL, plain);
    settings_warnings(settings, collect, all);
    cr_assert_str_empty(all, "the defaults warn: %s", all);
    settings_destroy(settings);

    const char *unwise[] = {BASE, "kafka.bootstrap.servers=embedded", "worker.drain_timeout_ms=1000", "retry.backoff_ms=31000",
                            "redis.reply_ttl_s=60", "llm.deadline_ms=61000", "provider.main.attempt_timeout_ms=70000", "provider.main.api_key=k",
                            "provider.spare.url=http://h", "provider.spare.model=m",
                            "llm.overflow_provider=gateway", "provider.gateway.url=http://h", "provider.gateway.model=m", "provider.gateway.headers={\"X-A\":\"b\"}",
                            "llm.contexts=profile", "llm.context_prompt=none", "context.profile.url=http://h", "context.profile.api_key=k",
                            "context.profile.timeout_ms=61000", "context.spare.url=http://h", NULL};
    settings = must_load(NULL, NULL, unwise);
    settings_warnings(settings, collect, all);
    static const char *const expected[] = {"embedded", "drain_timeout_ms", "backoff_max_ms", "reply_ttl_s", "main.attempt_timeout_ms", "unencrypted",
                                           "[provider.spare]", "[context.spare]", "context.profile is fetched for nothing", "context.profile.timeout_ms",
                                           "context.profile.api_key goes", "provider.main.api_key goes", "provider.gateway.headers go to"};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        cr_assert(strstr(all, expected[i]), "no warning of %s in:\n%s", expected[i], all);
    settings_destroy(settings);
}

Test(settings, a_librdkafka_whose_scram_new_brokers_refuse_is_warned_of)
{
    static const char *const mechanisms[] = {"sasl.mechanism=SCRAM-SHA-512", "sasl.mechanisms=scram-sha-256", "sasl.mechanism=PLAIN"};
    for (size_t i = 0; i < sizeof mechanisms / sizeof *mechanisms; i++) {
        char all[2000] = "";
        AUTO_FREE char *mechanism = xasprintf("kafka.%s", mechanisms[i]);
        const char *overrides[] = {BASE, "kafka.security.protocol=sasl_ssl", mechanism, "kafka.sasl.username=u", "kafka.sasl.password=p", NULL};
        struct settings *settings = must_load(NULL, NULL, overrides);
        settings_warnings(settings, collect, all);
        cr_expect_eq(strstr(all, "SCRAM") != NULL, i < 2 && rd_kafka_version() < 0x020601ff, "%s: %s", mechanisms[i], all);
        settings_destroy(settings);
    }
}

Test(settings, this_machine_is_known_by_its_address_not_by_how_a_name_begins)
{
    static const struct {
        const char *url;
        bool here;
    } rows[] = {{"http://127.0.0.1:8080/v1", true},      {"http://127.1/v1", true},          {"http://[::1]:1/v1", true},        {"http://LocalHost/v1", true},
                {"http://127.0.0.1.evil.org/v1", false}, {"http://127.evil.org/v1", false}, {"http://localhost.evil.org", false}, {"http://localhosts/v1", false},
                {"http://127.0.0.1@evil.org/v1", false}, {"http://[::1].evil.org/v1", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char all[2000] = "";
        AUTO_FREE char *url = xasprintf("provider.main.url=%s", rows[i].url);
        AUTO_FREE char *context = xasprintf("context.profile.url=%s?of={session}", rows[i].url);
        const char *overrides[] = {BASE, url, "provider.main.api_key=k", "provider.main.proxy=http://p:1", "llm.contexts=profile", context,
                                   "context.profile.api_key=k", "context.profile.proxy=http://p:1", NULL};
        struct settings *settings = must_load(NULL, NULL, overrides);
        settings_warnings(settings, collect, all);
        cr_expect_eq(strstr(all, "provider.main.api_key goes to a http://") == NULL, rows[i].here, "%s: %s", rows[i].url, all);
        cr_expect_eq(strstr(all, "context.profile.api_key goes to a http://") == NULL, rows[i].here, "%s: %s", rows[i].url, all);
        cr_expect_eq(strstr(all, "provider.main.proxy isn't used") != NULL, rows[i].here, "%s: %s", rows[i].url, all);
        cr_expect_eq(strstr(all, "context.profile.proxy isn't used") != NULL, rows[i].here, "%s: %s", rows[i].url, all);
        settings_destroy(settings);
    }
}

Test(settings, the_example_and_what_is_printed_load_again)
{
    AUTO_FREE char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    settings_print_example(out);
    fclose(out);
    char *path = write_file(text);
    struct settings *settings = must_load(path, NULL, NULL);
    cr_assert_eq(settings->worker.threads, 64);
    unlink(path);
    free(path);

    AUTO_FREE char *first = print(settings);
    settings_destroy(settings);
    path = write_file(first);
    settings = must_load(path, NULL, NULL);
    AUTO_FREE char *second = print(settings);
    cr_assert_str_eq(first, second);
    settings_destroy(settings);
    unlink(path);
    free(path);
}

Test(settings, what_is_printed_loads_again_with_its_secrets_masked)
{
    const char *given[] = {BASE, "provider.main.api_key=sesame", "provider.main.headers={\"X-A\": \"sesame ; sesame\", \"!#$%&'*+-.^_`|~\":\"sesame\"}",
                           "provider.spare.url=http://h", "provider.spare.model=m", "provider.spare.headers={}", "kafka.sasl.password=sesame", "llm.system_prompt=sesame",
                           "redis.url=redis://:sesame@h", "provider.main.proxy=http://u:sesame@p:1", "provider.main.params={\"top_p\": 1}", NULL};
    struct settings *settings = must_load(NULL, NULL, given);
    AUTO_FREE char *first = print(settings);
    settings_destroy(settings);
    cr_expect_null(strstr(first, "sesame"));
    cr_expect(strstr(first, "*** stands for a secret") != NULL, "whoever loads it again is told: %s", first);
    char *path = write_file(first);
    settings = must_load(path, NULL, NULL);
    AUTO_FREE char *second = print(settings);
    cr_expect_str_eq(first, second);
    settings_destroy(settings);
    unlink(path);
    free(path);
}

Test(settings, help_describes_every_section)
{
    AUTO_FREE char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    settings_print_help(out);
    fclose(out);
    static const char *const expected[] = {"[kafka]", "[worker]", "[redis]", "[llm]", "[provider.NAME]", "[context.NAME]", "[retry]", "[admin]", "[log]", "1 to 5000"};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        cr_assert(strstr(text, expected[i]), "help has no %s", expected[i]);
}

#define DOCS_PAGE CHAT_SOURCE_DIR "/docs/configuration.md"

/* CHAT_UPDATE_DOCS=1 writes the page instead; so does `chat-worker --print-markdown`. */
Test(settings, the_docs_page_is_fresh)
{
    AUTO_FREE char *made = NULL;
    size_t made_size = 0;
    FILE *out = open_memstream(&made, &made_size);
    settings_print_markdown(out);
    fclose(out);
    if (getenv("CHAT_UPDATE_DOCS") != NULL) {
        FILE *page = fopen(DOCS_PAGE, "w");
        cr_assert(page != NULL && fwrite(made, 1, made_size, page) == made_size && fclose(page) == 0);
        return;
    }
    AUTO_FREE char *found = calloc(1, made_size + 2);
    FILE *in = fopen(DOCS_PAGE, "r");
    cr_assert_not_null(in, "no " DOCS_PAGE);
    size_t found_size = fread(found, 1, made_size + 1, in);
    fclose(in);
    cr_assert(found_size == made_size && memcmp(made, found, made_size) == 0, "docs/configuration.md is stale: CHAT_UPDATE_DOCS=1 test_settings");
}
