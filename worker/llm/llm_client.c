#include "llm/llm_client.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "llm/call_failure.h"
#include "llm/llm_codec.h"

struct llm_client {
    const struct settings *settings;
    struct http_pool *pool;
};

/* ---- what a call has come to ---- */

static enum status read_outcome(const struct http_call *call, struct llm_answer *ret_answer, struct llm_failure *failure, struct error *err)
{
    failure->http_status = call->end == HTTP_TIMED_OUT ? 0 : http_call_status(call);
    if (failure->http_status >= 300) { /* a refusal, even where its body was too long or cut off */
        call_failure_read_headers(call, failure);
        llm_error_classify(failure->http_status, call->body, call->code == CURLE_OK ? call->body_size : 0, failure, err);
        call_failure_heed(failure, err);
        return STATUS_FAILED;
    }
    if (call->end == HTTP_TIMED_OUT || call->code != CURLE_OK)
        return call_failure_unanswered(call, "llm.response_bytes_max", err);
    return llm_response_decode(call->body, call->body_size, ret_answer, failure, err);
}

/* ---- a talk ---- */

enum status llm_talk_begin(struct llm_client *client, struct http_cancel *cancel, struct llm_talk *ret, struct error *err)
{
    ret->client = client;
    ret->cancel = cancel;
    ret->seat = NULL;
    return http_pool_take(client->pool, &ret->seat, err);
}

void llm_talk_end(struct llm_talk *talk)
{
    if (talk->seat != NULL)
        http_pool_give(talk->client->pool, &talk->seat);
}

static enum status name_provider(const struct llm_talk *talk, size_t provider, const struct error *why, struct error *err)
{
    return error_set(err, why->class, why->code, "provider %s: %s", talk->client->settings->providers[provider].name, why->message);
}

enum status llm_talk_ask(struct llm_talk *talk, size_t provider, const char *body, int64_t until_ms, struct error *err)
{
    struct error why = {0};
    int64_t patience_ms = clock_mono_ms() + talk->client->settings->providers[provider].attempt_timeout_ms;
    talk->requests[provider] = (struct http_request){.body = body, .until_ms = until_ms < patience_ms ? until_ms : patience_ms};
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
    enum status status = read_outcome(http_seat_call(talk->seat, provider), ret_answer, ret_failure, &why);
    http_call_end(talk->seat, provider);
    return status == STATUS_OK ? status : name_provider(talk, provider, &why, err);
}

void llm_talk_drop(struct llm_talk *talk, size_t provider)
{
    http_call_end(talk->seat, provider);
}

/* ---- the client ---- */

struct llm_client *llm_client_create(const struct settings *settings, struct http_pool *pool)
{
    struct llm_client *client = xcalloc(1, sizeof *client);
    client->settings = settings;
    client->pool = pool;
    return client;
}

void llm_client_destroy(struct llm_client *client)
{
    free(client);
}

void llm_answer_finish(struct llm_answer *answer)
{
    json_decref(answer->message);
    free(answer->finish_reason);
    free(answer->model);
    *answer = (struct llm_answer){0};
}
