#include "llm/llm_client.h"

#include <curl/curl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "llm/llm_codec.h"
#include "llm/llm_slot.h"
#include "llm/retry_policy.h"

struct llm_client {
    struct llm_slot_pool *pool;
};

/* ---- cancelling ---- */

struct llm_cancel {
    atomic_bool fired;
    struct mutex mutex;
    CURLM *multi; /* of the running call, or NULL; guarded by mutex, so that it can't vanish under a wake-up */
};

struct llm_cancel *llm_cancel_create(void)
{
    struct llm_cancel *cancel = xcalloc(1, sizeof *cancel);
    mutex_init(&cancel->mutex);
    return cancel;
}

void llm_cancel_destroy(struct llm_cancel *cancel)
{
    if (cancel == NULL)
        return;
    mutex_destroy(&cancel->mutex);
    free(cancel);
}

void llm_cancel_reset(struct llm_cancel *cancel)
{
    atomic_store(&cancel->fired, false);
}

void llm_cancel_fire(struct llm_cancel *cancel)
{
    /* The flag before the look for a call: whoever attaches later sees it before it waits. */
    atomic_store(&cancel->fired, true);
    mutex_lock(&cancel->mutex);
    if (cancel->multi != NULL)
        curl_multi_wakeup(cancel->multi);
    mutex_unlock(&cancel->mutex);
}

static void cancel_attach(struct llm_cancel *cancel, CURLM *multi)
{
    if (cancel == NULL)
        return;
    mutex_lock(&cancel->mutex);
    cancel->multi = multi;
    mutex_unlock(&cancel->mutex);
}

static bool is_fired(struct llm_cancel *cancel)
{
    return cancel != NULL && atomic_load(&cancel->fired);
}

/* ---- one transfer ---- */

enum end { END_CURL /* curl's code says how */, END_TIMEOUT, END_CANCEL, END_BROKEN /* curl itself failed */ };

/* Waits for the transfer, asleep until something happens: no time slices. */
static enum end transfer(struct llm_slot *slot, int64_t until_ms, struct llm_cancel *cancel, CURLcode *ret_code)
{
    for (;;) {
        int running = 0;
        if (is_fired(cancel))
            return END_CANCEL;
        if (curl_multi_perform(slot->multi, &running) != CURLM_OK)
            return END_BROKEN;
        if (running == 0)
            break;
        int64_t left_ms = until_ms - clock_mono_ms();
        if (left_ms <= 0)
            return END_TIMEOUT;
        if (curl_multi_poll(slot->multi, NULL, 0, left_ms < INT_MAX ? (int)left_ms : INT_MAX, NULL) != CURLM_OK)
            return END_BROKEN;
    }
    int left = 0;
    const CURLMsg *message = curl_multi_info_read(slot->multi, &left);
    if (message == NULL || message->msg != CURLMSG_DONE)
        return END_BROKEN;
    *ret_code = message->data.result;
    return END_CURL;
}

static bool was_sent(const struct llm_slot *slot)
{
    curl_off_t sent_us = 0;
    curl_easy_getinfo(slot->easy, CURLINFO_PRETRANSFER_TIME_T, &sent_us);
    return sent_us > 0;
}

static enum status fail_timeout(struct llm_slot *slot, int64_t spent_ms, struct error *err)
{
    /* Nothing was sent: the provider had no chance, and the job loses no attempt. */
    if (!was_sent(slot))
        return error_set(err, ERROR_UNAVAILABLE, "connection_failed", "no connection within %lld ms",
                         (long long)spent_ms);
    return error_set(err, ERROR_RETRIABLE, "timeout", "no answer within %lld ms", (long long)spent_ms);
}

static enum status fail_curl(const struct llm_slot *slot, CURLcode code, struct error *err)
{
    const char *problem = slot->problem[0] != '\0' ? slot->problem : curl_easy_strerror(code);
    if (slot->body_too_large)
        return error_set(err, ERROR_PERMANENT, "response_too_large",
                         "the answer is larger than llm.response_bytes_max (%zu bytes)", slot->body_bytes_max);
    switch (code) {
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

static enum status read_outcome(struct llm_slot *slot, CURLcode code, struct llm_answer *ret_answer,
                                struct llm_failure *failure, struct error *err)
{
    long status = 0;
    curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
    failure->http_status = (int)status;
    if (status >= 300) { /* a refusal, even where its body was too long or cut off */
        failure->retry_after_ms = retry_after_parse(slot->retry_after_ms[0] != '\0' ? slot->retry_after_ms : NULL,
                                                    slot->retry_after[0] != '\0' ? slot->retry_after : NULL,
                                                    clock_wall_ms());
        failure->should_retry = slot->should_retry;
        llm_error_classify((int)status, slot->body, code == CURLE_OK ? slot->body_size : 0, failure, err);
        heed_should_retry(failure, err);
        return STATUS_FAILED;
    }
    if (code != CURLE_OK)
        return fail_curl(slot, code, err);
    return llm_response_decode(slot->body, slot->body_size, ret_answer, failure, err);
}

/* ---- the client ---- */

enum status llm_client_create(const struct settings *settings, struct llm_client **ret, struct error *err)
{
    struct llm_client *client = xcalloc(1, sizeof *client);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(client);
        return error_set(err, ERROR_FATAL, "curl_failed", "libcurl can't start");
    }
    if (llm_slot_pool_create(settings, &client->pool, err) != STATUS_OK) {
        llm_client_destroy(client);
        return STATUS_FAILED;
    }
    *ret = client;
    return STATUS_OK;
}

void llm_client_destroy(struct llm_client *client)
{
    if (client == NULL)
        return;
    llm_slot_pool_destroy(client->pool);
    curl_global_cleanup();
    free(client);
}

static enum status ask(struct llm_slot *slot, const char *body, int64_t started_ms, int64_t until_ms,
                       struct llm_cancel *cancel, struct llm_answer *ret_answer, struct llm_failure *failure,
                       bool *ret_broken, struct error *err)
{
    curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
    /* Not read from a callback: curl must be able to send it again on a fresh connection. */
    curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDS, body);
    if (curl_multi_add_handle(slot->multi, slot->easy) != CURLM_OK) {
        *ret_broken = true;
        return error_set(err, ERROR_UNAVAILABLE, "no_resources", "libcurl can't begin a call");
    }
    CURLcode code = CURLE_OK;
    cancel_attach(cancel, slot->multi);
    enum end end = transfer(slot, until_ms, cancel, &code);
    cancel_attach(cancel, NULL);

    enum status rc = STATUS_FAILED;
    switch (end) {
    case END_CURL: rc = read_outcome(slot, code, ret_answer, failure, err); break;
    case END_TIMEOUT: rc = fail_timeout(slot, clock_mono_ms() - started_ms, err); break;
    case END_CANCEL: rc = error_set(err, ERROR_CANCELLED, "cancelled", "cut short"); break;
    case END_BROKEN:
        *ret_broken = true;
        rc = error_set(err, ERROR_RETRIABLE, "connection_lost", "libcurl can't go on with the call");
    }
    /* In the middle of a transfer this closes the connection: the provider stops generating. */
    curl_multi_remove_handle(slot->multi, slot->easy);
    return rc;
}

enum status llm_client_ask(struct llm_client *client, const struct provider_settings *provider, const char *body,
                           int64_t until_ms, struct llm_cancel *cancel, struct llm_answer *ret_answer,
                           struct llm_failure *ret_failure, struct error *err)
{
    *ret_failure = (struct llm_failure){.retry_after_ms = -1, .should_retry = -1};
    struct error why = {0};
    struct llm_slot *slot = NULL;
    bool broken = false;
    int64_t now_ms = clock_mono_ms();
    if (until_ms - now_ms > provider->attempt_timeout_ms)
        until_ms = now_ms + provider->attempt_timeout_ms;

    enum status rc;
    if (is_fired(cancel))
        rc = error_set(&why, ERROR_CANCELLED, "cancelled", "cut short");
    else if (until_ms <= now_ms)
        rc = error_set(&why, ERROR_RETRIABLE, "timeout", "no time left to ask");
    else
        rc = llm_slot_take(client->pool, provider, &slot, &why);
    if (rc == STATUS_OK) {
        rc = ask(slot, body, now_ms, until_ms, cancel, ret_answer, ret_failure, &broken, &why);
        llm_slot_give(client->pool, &slot, broken);
    }
    if (rc != STATUS_OK)
        error_set(err, why.class, why.code, "provider %s: %s", provider->name, why.message);
    return rc;
}

void llm_answer_finish(struct llm_answer *answer)
{
    json_decref(answer->message);
    free(answer->finish_reason);
    free(answer->model);
    *answer = (struct llm_answer){0};
}
