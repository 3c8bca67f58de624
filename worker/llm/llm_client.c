#include "llm/llm_client.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "llm/llm_codec.h"
#include "llm/retry_policy.h"
#include "llm/stream_fold.h"

struct llm_client {
    const struct settings *settings;
    struct http_pool *pool;
};

/* ---- what a call has come to ---- */

static enum status fail_timeout(const struct http_call *call, struct error *err)
{
    long long spent_ms = (long long)(clock_mono_ms() - call->started_ms);
    /* Nothing was sent: the provider had no chance, and the job loses no attempt. */
    if (!http_call_was_sent(call))
        return error_set(err, ERROR_UNAVAILABLE, "connection_failed", "no connection within %lld ms", spent_ms);
    if (call->progress_ms != 0)
        return error_set(err, ERROR_RETRIABLE, "timeout", "the stream broke off: no token for %lld ms, %lld ms after the question",
                         (long long)(clock_mono_ms() - call->progress_ms), spent_ms);
    return error_set(err, ERROR_RETRIABLE, "timeout", "no answer within %lld ms", spent_ms);
}

static enum status fail_curl(const struct http_call *call, struct error *err)
{
    const char *problem = call->problem[0] != '\0' ? call->problem : curl_easy_strerror(call->code);
    if (call->body_too_large)
        return error_set(err, ERROR_PERMANENT, "response_too_large",
                         "the answer is larger than llm.response_bytes_max (%zu bytes)", call->body_bytes_max);
    switch (call->code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return error_set(err, ERROR_UNAVAILABLE, "dns_failed", "%s", problem);
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT: /* only connecting has a time-out of curl's */
    case CURLE_PROXY:
        return error_set(err, ERROR_UNAVAILABLE, "connection_failed", "%s", problem);
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return error_set(err, ERROR_UNAVAILABLE, "tls_failed", "%s: check url and the trusted certificates", problem);
    case CURLE_URL_MALFORMAT:
        return error_set(err, ERROR_PERMANENT, "bad_url", "%s: check url", problem);
    case CURLE_UNSUPPORTED_PROTOCOL: /* also what an answer of HTTP/0.9 gives */
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
        return error_set(err, ERROR_RETRIABLE, "invalid_response", "%s", problem);
    default: return error_set(err, ERROR_RETRIABLE, "connection_lost", "%s", problem);
    }
}

/* What the provider said about trying again goes before what its status says. */
static void heed_should_retry(const struct llm_failure *failure, struct error *err)
{
    bool hopeless = failure->context_overflow || failure->billing || failure->http_status < 400;
    if (failure->should_retry == 1 && err->class == ERROR_PERMANENT && !hopeless)
        err->class = ERROR_RETRIABLE;
    else if (failure->should_retry == 0 && err->class == ERROR_UNAVAILABLE)
        err->class = ERROR_RETRIABLE;
}

static const char *or_null(const char *header)
{
    return header[0] != '\0' ? header : NULL;
}

static enum status read_outcome(const struct http_call *call, struct llm_answer *ret_answer, struct llm_failure *failure, struct error *err)
{
    if (call->end == HTTP_TIMED_OUT)
        return fail_timeout(call, err);
    failure->http_status = http_call_status(call);
    if (failure->http_status >= 300) { /* a refusal, even where its body was too long or cut off */
        failure->retry_after_ms = retry_after_parse(or_null(call->retry_after_ms), or_null(call->retry_after), clock_wall_ms());
        failure->should_retry = call->should_retry;
        llm_error_classify(failure->http_status, call->body, call->code == CURLE_OK ? call->body_size : 0, failure, err);
        heed_should_retry(failure, err);
        return STATUS_FAILED;
    }
    if (call->code != CURLE_OK)
        return fail_curl(call, err);
    return llm_response_decode(call->body, call->body_size, ret_answer, failure, err);
}

/* ---- streams ---- */

/* [DONE] ends an answer; the connection is worth a moment for HTTP's own end, so that it can be used again. */
#define AFTER_DONE_MS 200

struct llm_stream {
    struct llm_talk *talk;
    size_t provider;
    struct sse_parser parser;
    struct stream_fold fold;
};

static bool on_bytes(struct http_call *call, const char *bytes, size_t size, void *arg)
{
    struct llm_stream *stream = arg;
    uint64_t chunks = stream->fold.chunk_count;
    enum status status = sse_parser_feed(&stream->parser, bytes, size, stream_fold_event, &stream->fold);
    if (status == STATUS_FAILED) {
        call->body_too_large = true;
        return false;
    }
    if (stream->fold.chunk_count != chunks) {
        http_call_progress(call);
        if (stream->talk->on_text != NULL)
            stream->talk->on_text(stream->provider, stream->talk->on_text_arg);
    }
    if (stream->fold.done)
        stream->talk->requests[stream->provider].idle_ms = AFTER_DONE_MS;
    return !stream->fold.failed;
}

static struct llm_stream *stream_create(struct llm_talk *talk, size_t provider)
{
    size_t bytes_max = (size_t)talk->client->settings->llm.response_bytes_max;
    struct llm_stream *stream = xcalloc(1, sizeof *stream);
    stream->talk = talk;
    stream->provider = provider;
    sse_parser_init(&stream->parser, bytes_max);
    stream_fold_init(&stream->fold, bytes_max, NULL);
    return stream;
}

static void stream_destroy(struct llm_stream *stream)
{
    if (stream == NULL)
        return;
    sse_parser_finish(&stream->parser);
    stream_fold_finish(&stream->fold);
    free(stream);
}

/* What ended the call is its failure, unless the stream had come to its own end by then. */
static enum status read_stream(const struct http_call *call, struct llm_stream *stream, struct llm_answer *ret_answer, struct llm_failure *failure,
                               struct error *err)
{
    bool decided = stream->fold.done || stream->fold.failed;
    failure->http_status = http_call_status(call);
    if (!decided && call->end == HTTP_TIMED_OUT)
        return fail_timeout(call, err);
    if (!decided && call->code != CURLE_OK)
        return fail_curl(call, err);
    return stream_fold_end(&stream->fold, call->code == CURLE_OK, ret_answer, failure, err);
}

const char *llm_talk_content(const struct llm_talk *talk, size_t provider, size_t *ret_size)
{
    const struct llm_stream *stream = talk->streams[provider];
    *ret_size = stream != NULL ? stream->fold.texts[STREAM_CONTENT].size : 0;
    return stream != NULL ? text_buffer_text(&stream->fold.texts[STREAM_CONTENT]) : "";
}

/* Providers name it in two ways; where one sends both, they are the same. */
const char *llm_talk_reasoning(const struct llm_talk *talk, size_t provider, size_t *ret_size)
{
    const struct llm_stream *stream = talk->streams[provider];
    *ret_size = 0;
    if (stream == NULL)
        return "";
    const struct text_buffer *text = &stream->fold.texts[STREAM_REASONING_CONTENT];
    if (text->size == 0)
        text = &stream->fold.texts[STREAM_REASONING];
    *ret_size = text->size;
    return text_buffer_text(text);
}

int64_t llm_talk_first_ms(const struct llm_talk *talk, size_t provider)
{
    const struct http_call *call = http_seat_call(talk->seat, provider);
    return (call->first_progress_ms != 0 ? call->first_progress_ms : clock_mono_ms()) - call->started_ms;
}

/* ---- a talk ---- */

enum status llm_talk_begin(struct llm_client *client, struct http_cancel *cancel, struct llm_talk *ret, struct error *err)
{
    *ret = (struct llm_talk){.client = client, .cancel = cancel};
    return http_pool_take(client->pool, &ret->seat, err);
}

void llm_talk_end(struct llm_talk *talk)
{
    if (talk->seat != NULL)
        http_pool_give(talk->client->pool, &talk->seat);
    for (size_t i = 0; i < PROVIDERS_MAX; i++)
        stream_destroy(steal_ptr(&talk->streams[i]));
}

static enum status name_provider(const struct llm_talk *talk, size_t provider, const struct error *why, struct error *err)
{
    return error_set(err, why->class, why->code, "provider %s: %s", talk->client->settings->providers[provider].name, why->message);
}

enum status llm_talk_ask(struct llm_talk *talk, size_t provider, const char *body, int64_t until_ms, bool streamed, struct error *err)
{
    struct error why = {0};
    const struct provider_settings *settings = &talk->client->settings->providers[provider];
    int64_t patience_ms = clock_mono_ms() + settings->attempt_timeout_ms;
    struct http_request *request = &talk->requests[provider];
    *request = (struct http_request){.body = body, .until_ms = until_ms < patience_ms ? until_ms : patience_ms};
    if (streamed) {
        stream_destroy(talk->streams[provider]);
        request->sink_arg = talk->streams[provider] = stream_create(talk, provider);
        request->sink = on_bytes;
        request->first_ms = settings->first_token_timeout_ms;
        request->idle_ms = settings->idle_timeout_ms;
    }
    if (http_call_start(talk->seat, provider, &talk->requests[provider], &why) != STATUS_OK)
        return name_provider(talk, provider, &why, err);
    return STATUS_OK;
}

enum http_event llm_talk_wait(struct llm_talk *talk, int64_t until_ms, size_t *ret_provider)
{
    return http_seat_wait(talk->seat, until_ms, talk->cancel, ret_provider);
}

enum status llm_talk_read(struct llm_talk *talk, size_t provider, struct llm_answer *ret_answer, struct llm_failure *ret_failure, struct error *err)
{
    struct error why = {0};
    *ret_failure = (struct llm_failure){.retry_after_ms = -1, .should_retry = -1};
    const struct http_call *call = http_seat_call(talk->seat, provider);
    enum status status = call->is_event_stream && http_call_status(call) < 300 ? read_stream(call, talk->streams[provider], ret_answer, ret_failure, &why)
                                                                               : read_outcome(call, ret_answer, ret_failure, &why);
    http_call_end(talk->seat, provider);
    return status == STATUS_OK ? status : name_provider(talk, provider, &why, err);
}

void llm_talk_drop(struct llm_talk *talk, size_t provider)
{
    http_call_end(talk->seat, provider);
}

/* ---- the client ---- */

/* What a provider's target is made of, until the pool has copied it. */
struct target_texts {
    char *url, *auth;
    const char *headers[4];
};

static enum status target_of(const struct settings *settings, const struct provider_settings *provider, struct target_texts *texts,
                             struct http_target *ret, struct error *err)
{
    for (const char *c = provider->api_key; c != NULL && *c != '\0'; c++)
        if (iscntrl((unsigned char)*c)) /* would end the header and begin another */
            return error_set(err, ERROR_PERMANENT, "bad_api_key", "provider %s: api_key holds a control character", provider->name);
    texts->url = xasprintf("%s/chat/completions%s%s", provider->url, provider->api_version != NULL ? "?api-version=" : "",
                           provider->api_version != NULL ? provider->api_version : "");
    texts->headers[0] = "Content-Type: application/json";
    texts->headers[1] = "Accept: application/json, text/event-stream";
    if (provider->api_key != NULL && provider->auth != AUTH_NONE)
        texts->headers[2] = texts->auth =
            xasprintf(provider->auth == AUTH_BEARER ? "Authorization: Bearer %s" : "api-key: %s", provider->api_key);
    *ret = (struct http_target){.url = texts->url,
                                .headers = texts->headers,
                                .connect_timeout_ms = provider->connect_timeout_ms,
                                .response_bytes_max = (size_t)settings->llm.response_bytes_max};
    return STATUS_OK;
}

enum status llm_client_create(const struct settings *settings, struct llm_client **ret, struct error *err)
{
    struct http_target targets[PROVIDERS_MAX];
    struct target_texts texts[PROVIDERS_MAX] = {0};
    struct http_pool *pool = NULL;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < settings->provider_count && status == STATUS_OK; i++)
        status = target_of(settings, &settings->providers[i], &texts[i], &targets[i], err);
    /* A seat for each thread, so that a first wave finds them made. */
    if (status == STATUS_OK)
        status = http_pool_create(targets, settings->provider_count, (size_t)settings->worker.threads, &pool, err);
    for (size_t i = 0; i < settings->provider_count; i++) {
        free(texts[i].url);
        free(texts[i].auth);
    }
    if (status != STATUS_OK)
        return status;
    struct llm_client *client = xcalloc(1, sizeof *client);
    client->settings = settings;
    client->pool = pool;
    *ret = client;
    return STATUS_OK;
}

void llm_client_destroy(struct llm_client *client)
{
    if (client == NULL)
        return;
    http_pool_destroy(client->pool);
    free(client);
}

void llm_answer_finish(struct llm_answer *answer)
{
    json_decref(answer->message);
    free(answer->finish_reason);
    free(answer->model);
    *answer = (struct llm_answer){0};
}
