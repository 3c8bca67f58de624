#include "llm/llm_client.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "llm/answer_shape.h"
#include "llm/call_failure.h"
#include "llm/llm_error.h"
#include "llm/llm_response.h"
#include "llm/refusal_wait.h"
#include "llm/stream_fold.h"

struct llm_client {
    const struct settings *settings;
    const char ***secrets; /* by provider, NULL-terminated: texts that it may echo and that must be masked */
};

/* One provider's part of an exchange. */
struct exchange_call {
    struct llm_exchange *exchange;
    size_t provider;
    struct http_request request;
    struct llm_stream *stream; /* owned; NULL: no byte of a stream has come */
};

#define HEADER_SECRET_BYTES_MIN 8 /* a shorter value ("auto", "openai") is too common a word */

static void add_secret(const char ***list, size_t *count, const char *secret)
{
    *list = xrealloc(*list, (*count + 2) * sizeof **list);
    (*list)[(*count)++] = secret;
    (*list)[*count] = NULL;
}

/* The secret part of a header's value: credentials without their scheme, since a server may echo them so. */
static const char *secret_of(const struct provider_header *header)
{
    const char *behind = strcasecmp(header->name, "Authorization") == 0 ? strchr(header->value, ' ') : NULL;
    return behind != NULL ? behind + strspn(behind, " ") : header->value;
}

/* The texts are borrowed from the settings. */
static const char **gather_secrets(const struct provider_settings *provider)
{
    size_t count = 0;
    const char **list = xcalloc(1, sizeof *list);
    if (provider->api_key != NULL)
        add_secret(&list, &count, provider->api_key);
    if (provider->proxy != NULL && strstr(provider->proxy, "://") != NULL)
        add_secret(&list, &count, provider->proxy);
    for (const struct provider_header *header = provider->sent_headers; header != NULL && header->name != NULL; header++)
        if (strlen(secret_of(header)) >= HEADER_SECRET_BYTES_MIN)
            add_secret(&list, &count, secret_of(header));
    return list;
}

/* ---- the result of a call ---- */

/* No status, or an incomplete answer. */
static enum status fail_unanswered(const struct http_call *call, struct llm_failure *failure, struct error *err)
{
    failure->kind = call_failure_kind(call);
    return call_failure_unanswered(call, "llm.response_bytes_max", err);
}

static enum status read_outcome(const struct http_call *call, struct llm_answer *ret_answer, struct llm_failure *failure, struct error *err)
{
    failure->http_status = call->end == HTTP_TIMED_OUT ? 0 : http_call_status(call);
    if (failure->http_status >= 300) { /* a refusal, even where its body was too long or cut off */
        call_failure_read_headers(call, failure);
        llm_error_classify(failure->http_status, call->body, call->body != NULL ? call->body_size : 0, failure, err);
        call_failure_heed(failure, err);
        return STATUS_FAILED;
    }
    if (call->end == HTTP_TIMED_OUT || call->code != CURLE_OK)
        return fail_unanswered(call, failure, err);
    return llm_response_decode(call->body, call->body_size, ret_answer, failure, err);
}

/* ---- streams ---- */

/* [DONE] ends an answer; waiting a moment for the end of the HTTP body lets the connection be reused. */
#define AFTER_DONE_MS 200

struct llm_stream {
    struct sse_parser parser;
    struct stream_fold fold;
    struct llm_said said;
};

static struct llm_stream *stream_create(const struct llm_exchange *exchange, size_t provider)
{
    size_t bytes_max = (size_t)exchange->client->settings->llm.response_bytes_max;
    struct llm_stream *stream = xcalloc(1, sizeof *stream);
    sse_parser_init(&stream->parser, bytes_max);
    stream_fold_init(&stream->fold, bytes_max);
    stream->said.secrets = exchange->client->secrets[provider];
    stream->fold.failure.said = &stream->said;
    return stream;
}

static bool on_bytes(struct http_call *call, const char *bytes, size_t size, void *arg)
{
    struct exchange_call *of = arg;
    if (of->stream == NULL)
        of->stream = stream_create(of->exchange, of->provider);
    struct llm_stream *stream = of->stream;
    uint64_t chunks = stream->fold.chunk_count;
    enum status status = sse_parser_feed(&stream->parser, bytes, size, stream_fold_event, &stream->fold);
    if (status == STATUS_FAILED) {
        call->body_too_large = true;
        return false;
    }
    if (stream->fold.chunk_count != chunks) {
        http_call_progress(call);
        if (of->exchange->on_text != NULL && stream_fold_has_news(&stream->fold))
            of->exchange->on_text(of->provider, of->exchange->on_text_arg);
    }
    if (stream->fold.done)
        of->request.idle_ms = AFTER_DONE_MS;
    return !stream->fold.failed;
}

static void stream_destroy(struct llm_stream *stream)
{
    if (stream == NULL)
        return;
    sse_parser_finish(&stream->parser);
    stream_fold_finish(&stream->fold);
    free(stream->said.message);
    free(stream);
}

/* Many servers omit the blank line behind the last event, or close at once after an error. */
static void take_last_event(struct llm_stream *stream)
{
    struct sse_event event;
    if (sse_parser_pending(&stream->parser, &event))
        stream_fold_last_event(&stream->fold, &event);
}

/* If the call failed, that is the failure, unless the stream was complete or had failed before. */
static enum status read_stream(const struct http_call *call, struct llm_stream *stream, struct llm_answer *ret_answer, struct llm_failure *failure,
                               struct error *err)
{
    if (!stream->fold.done && !stream->fold.failed)
        take_last_event(stream);
    bool decided = stream->fold.done || stream->fold.failed;
    failure->http_status = http_call_status(call);
    if (!decided && (call->end == HTTP_TIMED_OUT || call->code != CURLE_OK))
        return fail_unanswered(call, failure, err);
    return stream_fold_end(&stream->fold, call->code == CURLE_OK, ret_answer, failure, err);
}

bool llm_exchange_is_streamed(const struct llm_exchange *exchange, size_t provider)
{
    return exchange->calls[provider].stream != NULL;
}

void llm_exchange_news(struct llm_exchange *exchange, size_t provider, struct stream_news *ret)
{
    *ret = (struct stream_news){0};
    if (exchange->calls[provider].stream != NULL)
        stream_fold_news(&exchange->calls[provider].stream->fold, ret);
}

int64_t llm_exchange_first_ms(const struct llm_exchange *exchange, size_t provider)
{
    const struct http_call *call = http_client_call(exchange->http, provider);
    return (call->first_progress_ms != 0 ? call->first_progress_ms : clock_mono_ms()) - call->started_ms;
}

/* ---- an exchange ---- */

enum status llm_exchange_begin(struct llm_client *client, struct http_pool *pool, struct http_cancel *cancel, struct llm_exchange *ret, struct error *err)
{
    size_t count = client->settings->provider_count;
    *ret = (struct llm_exchange){.client = client, .pool = pool, .cancel = cancel, .calls = xcalloc(count, sizeof *ret->calls)};
    if (http_pool_take(pool, &ret->http, err) == STATUS_OK)
        return STATUS_OK;
    llm_exchange_end(ret);
    return STATUS_FAILED;
}

void llm_exchange_end(struct llm_exchange *exchange)
{
    if (exchange->http != NULL)
        http_pool_give(exchange->pool, &exchange->http);
    for (size_t i = 0; i < exchange->client->settings->provider_count; i++)
        stream_destroy(exchange->calls[i].stream);
    free(exchange->calls);
    free(exchange->said);
}

static enum status name_provider(const struct llm_exchange *exchange, size_t provider, const struct error *why, struct error *err)
{
    return error_set(err, why->class, why->code, "provider %s: %s", exchange->client->settings->providers[provider].name, why->message);
}

enum status llm_exchange_ask(struct llm_exchange *exchange, size_t provider, const char *body, int64_t until_ms, bool streamed, struct error *err)
{
    struct error why = {0};
    const struct provider_settings *settings = &exchange->client->settings->providers[provider];
    int64_t patience_ms = clock_mono_ms() + settings->attempt_timeout_ms;
    struct exchange_call *call = &exchange->calls[provider];
    stream_destroy(call->stream);
    *call = (struct exchange_call){.exchange = exchange, .provider = provider};
    call->request = (struct http_request){.body = body,
                                          .until_ms = until_ms < patience_ms ? until_ms : patience_ms,
                                          .first_ms = streamed ? settings->first_token_timeout_ms : 0,
                                          .idle_ms = settings->idle_timeout_ms,
                                          .sink = on_bytes,
                                          .look = answer_shape_look,
                                          .sink_arg = call};
    if (http_call_start(exchange->http, provider, &call->request, &why) != STATUS_OK)
        return name_provider(exchange, provider, &why, err);
    return STATUS_OK;
}

enum http_event llm_exchange_look(struct llm_exchange *exchange, int64_t until_ms, size_t *ret_provider, int64_t *ret_next_ms)
{
    return http_client_look(exchange->http, until_ms, exchange->cancel, ret_provider, ret_next_ms);
}

/* Takes the error text; of a stream its fold has stored it. */
static void take_said(struct llm_exchange *exchange, size_t provider, struct llm_said *said)
{
    struct llm_stream *stream = exchange->calls[provider].stream;
    free(exchange->said);
    exchange->said = said->message != NULL || stream == NULL ? said->message : steal_ptr(&stream->said.message);
}

enum status llm_exchange_read(struct llm_exchange *exchange, size_t provider, struct llm_answer *ret_answer, struct llm_failure *ret_failure, struct error *err)
{
    struct error why = {0};
    struct llm_said said = {.secrets = exchange->client->secrets[provider]};
    *ret_failure = (struct llm_failure){.retry_after_ms = -1, .should_retry = -1, .said = &said};
    const struct http_call *call = http_client_call(exchange->http, provider);
    enum status status = exchange->calls[provider].stream != NULL ? read_stream(call, exchange->calls[provider].stream, ret_answer, ret_failure, &why)
                                                              : read_outcome(call, ret_answer, ret_failure, &why);
    take_said(exchange, provider, &said);
    ret_failure->said = NULL;
    if (ret_failure->retry_after_ms < 0 && ret_failure->reset > 0)
        ret_failure->retry_after_ms = refusal_reset_wait_ms(ret_failure->reset, clock_wall_ms());
    http_call_end(exchange->http, provider);
    return status == STATUS_OK ? status : name_provider(exchange, provider, &why, err);
}

void llm_exchange_drop(struct llm_exchange *exchange, size_t provider)
{
    http_call_end(exchange->http, provider);
}

/* ---- the client ---- */

struct llm_client *llm_client_create(const struct settings *settings)
{
    struct llm_client *client = xcalloc(1, sizeof *client);
    client->settings = settings;
    client->secrets = xcalloc(settings->provider_count, sizeof *client->secrets);
    for (size_t i = 0; i < settings->provider_count; i++)
        client->secrets[i] = gather_secrets(&settings->providers[i]);
    return client;
}

void llm_client_destroy(struct llm_client *client)
{
    if (client == NULL)
        return;
    for (size_t i = 0; i < client->settings->provider_count; i++)
        free(client->secrets[i]);
    free(client->secrets);
    free(client);
}

void llm_answer_finish(struct llm_answer *answer)
{
    json_decref(answer->message);
    free(answer->finish_reason);
    free(answer->model);
    *answer = (struct llm_answer){0};
}
