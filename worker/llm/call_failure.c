#include "llm/call_failure.h"

#include "base/clock.h"
#include "llm/retry_policy.h"

static enum status fail_timeout(const struct http_call *call, struct error *err)
{
    long long spent_ms = (long long)(clock_mono_ms() - call->started_ms);
    if (!call->is_resolved)
        return error_set(err, ERROR_UNAVAILABLE, "connection_failed", "no connection: the host's name was not resolved within %lld ms", spent_ms);
    /* The request wasn't sent: the job loses no attempt. */
    if (!http_call_was_sent(call))
        return error_set(err, ERROR_UNAVAILABLE, "connection_failed", "no connection within %lld ms", spent_ms);
    if (call->progress_ms != 0)
        return error_set(err, ERROR_RETRIABLE, "timeout", "the stream broke off: no token for %lld ms, %lld ms after the question",
                         (long long)(clock_mono_ms() - call->progress_ms), spent_ms);
    return error_set(err, ERROR_RETRIABLE, "timeout", "no answer within %lld ms", spent_ms);
}

static enum status fail_curl(const struct http_call *call, const char *size_setting, struct error *err)
{
    const char *problem = call->problem[0] != '\0' ? call->problem : curl_easy_strerror(call->code);
    if (call->body_too_large)
        return error_set(err, ERROR_PERMANENT, "response_too_large",
                         "the answer is larger than %s (%zu bytes)", size_setting, call->body_bytes_max);
    if (call->body_damaged)
        return error_set(err, ERROR_RETRIABLE, "invalid_response", "the answer is packed (gzip or deflate), though nobody asked for that, and damaged");
    if (http_call_was_refused_by_proxy(call))
        return error_set(err, ERROR_UNAVAILABLE, "connection_failed", "the proxy lets nobody through: %s", problem);
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

enum status call_failure_unanswered(const struct http_call *call, const char *size_setting, struct error *err)
{
    return call->end == HTTP_TIMED_OUT ? fail_timeout(call, err) : fail_curl(call, size_setting, err);
}

enum failure_kind call_failure_kind(const struct http_call *call)
{
    if (call->end == HTTP_TIMED_OUT)
        return http_call_was_sent(call) ? FAILURE_TIMEOUT : FAILURE_GONE;
    if (call->body_too_large || call->body_damaged)
        return FAILURE_ANSWER;
    if (http_call_was_refused_by_proxy(call))
        return FAILURE_GONE;
    switch (call->code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT: /* only connecting has a time-out of curl's */
    case CURLE_PROXY:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS: return FAILURE_GONE;
    case CURLE_URL_MALFORMAT: return FAILURE_ACCESS;
    case CURLE_BAD_CONTENT_ENCODING: return FAILURE_ANSWER;
    case CURLE_OUT_OF_MEMORY: return FAILURE_NONE;
    default: return FAILURE_SERVER;
    }
}

enum error_class call_failure_class(int http_status)
{
    return failure_class(failure_kind_of_status(http_status));
}

void call_failure_heed(const struct llm_failure *failure, struct error *err)
{
    bool hopeless = failure->kind == FAILURE_TOO_LONG || failure->kind == FAILURE_BILLING || failure->http_status < 400;
    if (failure->should_retry == 1 && err->class == ERROR_PERMANENT && !hopeless)
        err->class = ERROR_RETRIABLE;
    else if (failure->should_retry == 0 && err->class == ERROR_UNAVAILABLE)
        err->class = ERROR_RETRIABLE;
}

static const char *or_null(const char *header)
{
    return header[0] != '\0' ? header : NULL;
}

void call_failure_read_headers(const struct http_call *call, struct llm_failure *ret)
{
    ret->http_status = http_call_status(call);
    ret->retry_after_ms = retry_after_parse(or_null(call->retry_after_ms), or_null(call->retry_after), clock_wall_ms());
    ret->should_retry = call->should_retry;
}
