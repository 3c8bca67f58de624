#include "llm/http_targets.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/alloc.h"

#define TARGETS_MAX (PROVIDERS_MAX + CONTEXTS_MAX)

/* What a target is made of, until the pool has copied it. */
struct target_texts {
    char *name, *url, *auth;
    const char *headers[4];
};

/* format: of the header that carries key; key may be NULL. what and name: whose it is. */
static enum status add_key(struct target_texts *texts, const char *key, const char *format, const char *what, const char *name, struct error *err)
{
    for (const char *c = key; c != NULL && *c != '\0'; c++)
        if (iscntrl((unsigned char)*c)) /* would end the header and begin another */
            return error_set(err, ERROR_PERMANENT, "bad_api_key", "%s %s: api_key holds a control character", what, name);
    size_t count = 0;
    while (texts->headers[count] != NULL)
        count++;
    if (key != NULL)
        texts->headers[count] = texts->auth = xasprintf("%s%s", format, key);
    return STATUS_OK;
}

static enum status provider_target(const struct settings *settings, const struct provider_settings *provider, struct target_texts *texts,
                                   struct http_target *ret, struct error *err)
{
    const char *key = provider->auth != AUTH_NONE ? provider->api_key : NULL;
    texts->url = xasprintf("%s/chat/completions%s%s", provider->url, provider->api_version != NULL ? "?api-version=" : "",
                           provider->api_version != NULL ? provider->api_version : "");
    texts->headers[0] = "Content-Type: application/json";
    texts->headers[1] = "Accept: application/json, text/event-stream";
    texts->name = xasprintf("provider %s", provider->name);
    *ret = (struct http_target){.name = texts->name,
                                .url = texts->url,
                                .headers = texts->headers,
                                .proxy = provider->proxy,
                                .ca_file = provider->ca_file,
                                .connect_timeout_ms = provider->connect_timeout_ms,
                                .response_bytes_max = (size_t)settings->llm.response_bytes_max};
    return add_key(texts, key, provider->auth == AUTH_BEARER ? "Authorization: Bearer " : "api-key: ", "provider", provider->name, err);
}

static enum status context_target(const struct context_settings *context, struct target_texts *texts, struct http_target *ret, struct error *err)
{
    texts->headers[0] = context->kind == CONTEXT_MODERATION ? "Accept: application/json" : "Accept: text/plain, */*";
    if (context->send != CONTEXT_SEND_NOTHING)
        texts->headers[1] = "Content-Type: application/json";
    texts->name = xasprintf("context %s", context->name);
    /* Each call brings the address filled in; the template names the host, which is always the same. */
    *ret = (struct http_target){.name = texts->name,
                                .url = context->url,
                                .headers = texts->headers,
                                .proxy = context->proxy,
                                .ca_file = context->ca_file,
                                .connect_timeout_ms = context->timeout_ms,
                                .response_bytes_max = (size_t)context->bytes_max};
    return add_key(texts, context->api_key, "Authorization: Bearer ", "context", context->name, err);
}

static enum status make_pool(const struct settings *settings, size_t clients, struct http_pool **ret, struct error *err)
{
    struct http_target targets[TARGETS_MAX];
    struct target_texts texts[TARGETS_MAX] = {0};
    enum status status = STATUS_OK;
    size_t count = 0;
    for (size_t i = 0; i < settings->provider_count && status == STATUS_OK; i++, count++)
        status = provider_target(settings, &settings->providers[i], &texts[count], &targets[count], err);
    for (size_t i = 0; i < settings->fetched_count && status == STATUS_OK; i++, count++)
        status = context_target(&settings->contexts[i], &texts[count], &targets[count], err);
    if (status == STATUS_OK)
        status = http_pool_create(targets, count, clients, ret, err);
    for (size_t i = 0; i < TARGETS_MAX; i++) {
        free(texts[i].name);
        free(texts[i].url);
        free(texts[i].auth);
    }
    return status;
}

enum status http_targets_pool(const struct settings *settings, struct http_pool **ret, struct error *err)
{
    /* A client for each thread, so that a first wave finds them made. */
    return make_pool(settings, (size_t)settings->worker.threads, ret, err);
}

enum status http_targets_check(const struct settings *settings, struct error *err)
{
    struct http_pool *pool = NULL;
    enum status status = make_pool(settings, 0, &pool, err);
    http_pool_destroy(pool);
    return status;
}
