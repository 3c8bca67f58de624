#include "service/settings_warnings.h"

#include <librdkafka/rdkafka.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/template.h"
#include "http/http_address.h"

/* Decided as http calls do. A malformed address is refused elsewhere. */
static bool is_this_machine(const char *url)
{
    struct http_address address;
    struct error why;
    if (http_address_parse(url, &address, &why) != STATUS_OK)
        return false;
    bool here = address.is_loopback;
    http_address_finish(&address);
    return here;
}

static bool crosses_in_clear(const char *url)
{
    return strncmp(url, "http://", 7) == 0 && !is_this_machine(url);
}

static bool is_asked(const struct settings *settings, const struct provider_settings *provider)
{
    const char *const fallbacks[] = {settings->llm.overflow_provider, settings->llm.filter_provider};
    bool asked = provider < settings->providers + settings->asked_count;
    for (size_t i = 0; i < sizeof fallbacks / sizeof *fallbacks; i++)
        asked = asked || (fallbacks[i] != NULL && strcmp(fallbacks[i], provider->name) == 0);
    return asked;
}

static bool is_proxy_in_vain(const char *proxy, const char *url)
{
    return proxy != NULL && strstr(proxy, "://") != NULL && is_this_machine(url);
}

static void warn_of_provider(const struct settings *settings, const struct provider_settings *provider, void (*warn)(const char *, void *), void *arg)
{
    AUTO_FREE char *unused = xasprintf("[provider.%s] is named neither in llm.providers nor as a fallback, and is not asked", provider->name);
    AUTO_FREE char *late = xasprintf("provider.%s.attempt_timeout_ms is above llm.deadline_ms: the deadline cuts the attempt", provider->name);
    AUTO_FREE char *connect = xasprintf("provider.%s.connect_timeout_ms is above attempt_timeout_ms: the attempt ends first", provider->name);
    const char *secret = provider->api_key != NULL && provider->auth != AUTH_NONE ? "api_key goes" : provider->headers != NULL ? "headers go" : NULL;
    AUTO_FREE char *clear = xasprintf("provider.%s.%s to a http:// address: what is secret crosses the network unencrypted", provider->name, secret != NULL ? secret : "");
    AUTO_FREE char *vain = xasprintf("provider.%s.proxy isn't used: its url is this machine", provider->name);
    if (!is_asked(settings, provider)) {
        warn(unused, arg);
        return;
    }
    if (is_proxy_in_vain(provider->proxy, provider->url))
        warn(vain, arg);
    if (provider->attempt_timeout_ms > settings->llm.deadline_ms)
        warn(late, arg);
    if (provider->connect_timeout_ms > provider->attempt_timeout_ms)
        warn(connect, arg);
    if (secret != NULL && crosses_in_clear(provider->url))
        warn(clear, arg);
}

static bool prompt_names(const struct settings *settings, const char *name)
{
    const char *at = settings->llm.context_prompt;
    bool found = at == NULL;
    for (struct template_part part; !found && template_next(&at, &part);)
        found = template_part_is(&part, name);
    return found;
}

static void warn_of_context(const struct settings *settings, size_t index, void (*warn)(const char *, void *), void *arg)
{
    const struct context_settings *context = &settings->contexts[index];
    AUTO_FREE char *unused = xasprintf("[context.%s] is not named in llm.contexts, and is not fetched", context->name);
    AUTO_FREE char *unsaid = xasprintf("context.%s is fetched for nothing: llm.context_prompt doesn't name it", context->name);
    AUTO_FREE char *late = xasprintf("context.%s.timeout_ms is not below llm.deadline_ms: it may leave no time for the question", context->name);
    AUTO_FREE char *clear = xasprintf("context.%s.api_key goes to a http:// address: it crosses the network unencrypted", context->name);
    AUTO_FREE char *vain = xasprintf("context.%s.proxy isn't used: its url is this machine", context->name);
    if (index >= settings->fetched_count) {
        warn(unused, arg);
        return;
    }
    if (is_proxy_in_vain(context->proxy, context->url))
        warn(vain, arg);
    if (context->kind == CONTEXT_TEXT && !prompt_names(settings, context->name))
        warn(unsaid, arg);
    if (context->timeout_ms >= settings->llm.deadline_ms)
        warn(late, arg);
    if (context->api_key != NULL && crosses_in_clear(context->url))
        warn(clear, arg);
}

/* Before 2.6.1 librdkafka adds its nonce to the server's twice (its pull request 4895), which Kafka has refused since 4.0. */
static bool is_scram_in_vain(const struct settings *settings)
{
    const char *mechanism = settings_kafka_property(settings, "sasl.mechanism");
    if (mechanism == NULL)
        mechanism = settings_kafka_property(settings, "sasl.mechanisms");
    return mechanism != NULL && strncasecmp(mechanism, "SCRAM-", 6) == 0 && rd_kafka_version() < 0x020601ff;
}

void settings_warnings(const struct settings *settings, void (*warn)(const char *message, void *arg), void *arg)
{
    if (strcmp(settings->kafka.bootstrap_servers, "embedded") == 0)
        warn("kafka.bootstrap.servers = embedded: Kafka lives in this process's memory; everything is lost when it ends", arg);
    if (is_scram_in_vain(settings))
        warn("kafka.sasl.mechanism: before 2.6.1 librdkafka can't sign in by SCRAM to Kafka 4.0 and newer, which calls the credentials invalid: a Debian 13 has a newer one; PLAIN and "
             "OAUTHBEARER work", arg);
    if (settings->worker.drain_timeout_ms < settings->llm.deadline_ms)
        warn("worker.drain_timeout_ms is below llm.deadline_ms: a drain may cut answers short, which are asked for again", arg);
    if (settings->redis.reply_ttl_s * 1000 < settings->llm.deadline_ms)
        warn("redis.reply_ttl_s is below llm.deadline_ms: a redelivered job may be paid twice", arg);
    if (settings->retry.backoff_ms > settings->retry.backoff_max_ms)
        warn("retry.backoff_ms is above retry.backoff_max_ms: every wait is up to the latter", arg);
    if (settings->llm.strategy != STRATEGY_SEQUENTIAL && settings->asked_count == 1)
        warn("llm.strategy: with one provider in llm.providers there is nobody to hedge or race with", arg);
    for (size_t i = 0; i < settings->provider_count; i++)
        warn_of_provider(settings, &settings->providers[i], warn, arg);
    for (size_t i = 0; i < settings->context_count; i++)
        warn_of_context(settings, i, warn, arg);
}
