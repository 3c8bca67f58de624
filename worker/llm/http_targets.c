#include "llm/http_targets.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define TARGETS_MAX (PROVIDERS_MAX + CONTEXTS_MAX)

/* A target's texts, until the pool has copied them. */
struct target_texts {
    char *name, *url;
    char **headers; /* NULL-terminated "Name: value" */
    size_t header_count;
};

static void add_header(struct target_texts *texts, const char *name, const char *value)
{
    texts->headers = xrealloc(texts->headers, (texts->header_count + 2) * sizeof *texts->headers);
    texts->headers[texts->header_count++] = xasprintf("%s: %s", name, value);
    texts->headers[texts->header_count] = NULL;
}

static void texts_finish(struct target_texts *texts)
{
    free(texts->name);
    free(texts->url);
    for (size_t i = 0; i < texts->header_count; i++)
        free(texts->headers[i]);
    free(texts->headers);
}

/* key may be NULL. what and name: its owner, for the error. */
static enum status add_key(struct target_texts *texts, const char *key, bool bearer, const char *what, const char *name, struct error *err)
{
    for (const char *c = key; c != NULL && *c != '\0'; c++)
        if (iscntrl((unsigned char)*c)) /* would end the header and begin another */
            return error_set(err, ERROR_PERMANENT, "bad_api_key", "%s %s: api_key holds a control character", what, name);
    if (key != NULL) {
        AUTO_FREE char *value = xasprintf("%s%s", bearer ? "Bearer " : "", key);
        add_header(texts, bearer ? "Authorization" : "api-key", value);
    }
    return STATUS_OK;
}

static enum status provider_target(const struct settings *settings, const struct provider_settings *provider, struct target_texts *texts,
                                   struct http_target *ret, struct error *err)
{
    const char *key = provider->auth != AUTH_NONE ? provider->api_key : NULL;
    texts->url = xasprintf("%s/chat/completions%s%s", provider->url, provider->api_version != NULL ? "?api-version=" : "",
                           provider->api_version != NULL ? provider->api_version : "");
    add_header(texts, "Content-Type", "application/json");
    add_header(texts, "Accept", "application/json, text/event-stream");
    if (add_key(texts, key, provider->auth == AUTH_BEARER, "provider", provider->name, err) != STATUS_OK)
        return STATUS_FAILED;
    for (const struct provider_header *header = provider->sent_headers; header != NULL && header->name != NULL; header++)
        add_header(texts, header->name, header->value);
    texts->name = xasprintf("provider %s", provider->name);
    *ret = (struct http_target){.name = texts->name,
                                .url = texts->url,
                                .headers = (const char *const *)texts->headers,
                                .proxy = provider->proxy,
                                .ca_file = provider->ca_file,
                                .connect_timeout_ms = provider->connect_timeout_ms,
                                .response_bytes_max = (size_t)settings->llm.response_bytes_max};
    return STATUS_OK;
}

static enum status context_target(const struct context_settings *context, struct target_texts *texts, struct http_target *ret, struct error *err)
{
    add_header(texts, "Accept", context->kind == CONTEXT_MODERATION ? "application/json" : "text/plain, */*");
    if (context->send != CONTEXT_SEND_NOTHING)
        add_header(texts, "Content-Type", "application/json");
    if (add_key(texts, context->api_key, true, "context", context->name, err) != STATUS_OK)
        return STATUS_FAILED;
    texts->name = xasprintf("context %s", context->name);
    /* Each call has its own address, from the template; the host is always the template's. */
    *ret = (struct http_target){.name = texts->name,
                                .url = context->url,
                                .headers = (const char *const *)texts->headers,
                                .proxy = context->proxy,
                                .ca_file = context->ca_file,
                                .connect_timeout_ms = context->timeout_ms,
                                .response_bytes_max = (size_t)context->bytes_max};
    return STATUS_OK;
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
    for (size_t i = 0; i < TARGETS_MAX; i++)
        texts_finish(&texts[i]);
    return status;
}

enum status http_targets_pool(const struct settings *settings, struct http_pool **ret, struct error *err)
{
    /* A client for each thread, made before the first wave of jobs; a loop's need no descriptors, and are made when they are used. */
    return make_pool(settings, settings->worker.engine == ENGINE_THREADS ? (size_t)settings->worker.threads : 0, ret, err);
}

enum status http_targets_check(const struct settings *settings, struct error *err)
{
    struct http_pool *pool = NULL;
    enum status status = make_pool(settings, 0, &pool, err);
    http_pool_destroy(pool);
    return status;
}
