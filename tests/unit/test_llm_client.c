/* llm_client against a scripted provider. Tests wait for what the script saw, never for time to pass. */
#include "scripted_provider.h"

/* ---- answers ---- */

static void answers_twice(struct world *w)
{
    int fd = await_call(w);
    read_request(w, fd);
    answer(fd, 200, "", ANSWER);
    read_request(w, fd);
    answer(fd, 200, "", ANSWER);
    await_close(w, fd);
}

Test(llm_client, asks_and_keeps_the_connection)
{
    struct world w;
    begin(&w, answers_twice, "http");
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(ask_within(&w, GIVE_UP_MS), STATUS_OK, "%s", w.err.message);
        cr_expect_str_eq(json_string_value(json_object_get(w.answer.message, "content")), "yes");
        cr_expect_str_eq(w.answer.finish_reason, "stop");
        cr_expect_eq(w.answer.usage.total_tokens, -1);
        cr_expect_eq(w.failure.http_status, 200);
    }
    end(&w);
    cr_expect_eq(w.accepted, 1);
    cr_expect_eq(strncmp(w.request, "POST /v1/chat/completions HTTP/1.1\r\n", 36), 0, "%s", w.request);
    cr_expect_not_null(strstr(w.request, "\r\nAuthorization: Bearer sk-secret\r\n"));
    cr_expect_not_null(strstr(w.request, "\r\nContent-Type: application/json\r\n"));
    cr_expect_null(strstr(w.request, "Expect"));
    cr_expect_not_null(strstr(w.request, "\r\n\r\n" BODY));
}

static void refuses(struct world *w)
{
    int fd = await_call(w);
    read_request(w, fd);
    answer(fd, 503, "Retry-After: 2\r\n", "{\"error\":{\"message\":\"secret\"}}");
    read_request(w, fd);
    answer(fd, 503, "X-Should-Retry: false\r\nretry-after-ms: 1500\r\nRetry-After: 2\r\n", "");
    read_request(w, fd);
    answer(fd, 400, "x-should-retry: true\r\n", "");
    read_request(w, fd);
    answer(fd, 429, "x-should-retry: true\r\n", "{\"error\":{\"code\":\"insufficient_quota\"}}");
    await_close(w, fd);
}

Test(llm_client, classes_refusals_and_heeds_their_headers)
{
    struct world w;
    begin(&w, refuses, "http");
    expect_failure(&w, GIVE_UP_MS, ERROR_UNAVAILABLE, "http_503");
    cr_expect_eq(w.failure.http_status, 503);
    cr_expect_eq(w.failure.retry_after_ms, 2000);
    cr_expect_eq(w.failure.should_retry, -1);
    expect_failure(&w, GIVE_UP_MS, ERROR_RETRIABLE, "http_503");
    cr_expect_eq(w.failure.retry_after_ms, 1500);
    cr_expect_eq(w.failure.should_retry, 0);
    expect_failure(&w, GIVE_UP_MS, ERROR_RETRIABLE, "http_400");
    cr_expect_eq(w.failure.retry_after_ms, -1, "a header of an earlier answer is forgotten");
    expect_failure(&w, GIVE_UP_MS, ERROR_PERMANENT, "insufficient_quota");
    cr_expect_eq(w.failure.kind, FAILURE_BILLING);
    end(&w);
    cr_expect_eq(w.accepted, 1);
}

/* ---- time-outs and losses ---- */

static void stalls(struct world *w)
{
    int fd = await_call(w);
    read_request(w, fd);
    await_close(w, fd);
}

Test(llm_client, gives_up_at_the_deadline_and_closes)
{
    struct world w;
    begin(&w, stalls, "http");
    expect_failure(&w, 1000, ERROR_RETRIABLE, "timeout"); /* time enough for the question to be sent */
    pthread_join(w.thread, NULL); /* before the client's end: the close is the time-out's */
    w.script = NULL;
    cr_expect(w.saw_close);
    end(&w);
}

Test(llm_client, gives_up_at_the_attempts_timeout)
{
    struct world w;
    begin(&w, stalls, "http");
    w.provider.attempt_timeout_ms = 1000;
    expect_failure(&w, 60000, ERROR_RETRIABLE, "timeout");
    cr_expect_eq(w.failure.kind, FAILURE_TIMEOUT, "it was asked");
    expect_failure(&w, 0, ERROR_RETRIABLE, "timeout");
    end(&w);
}

static void says_nothing(struct world *w)
{
    await_close(w, await_call(w));
}

Test(llm_client, counts_no_attempt_when_nothing_was_sent)
{
    struct world w;
    begin(&w, says_nothing, "https"); /* the TLS handshake stalls */
    expect_failure(&w, 50, ERROR_UNAVAILABLE, "connection_failed");
    cr_expect_eq(w.failure.kind, FAILURE_GONE);
    end(&w);
}

static void talks_plain(struct world *w)
{
    int fd = await_call(w);
    say(fd, "HTTP/1.1 400 Bad Request\r\n\r\n");
    await_close(w, fd);
}

Test(llm_client, names_a_tls_failure)
{
    struct world w;
    begin(&w, talks_plain, "https");
    expect_failure(&w, GIVE_UP_MS, ERROR_UNAVAILABLE, "tls_failed");
    end(&w);
}

Test(llm_client, finds_nobody_there)
{
    struct world w;
    begin(&w, NULL, "http");
    close(w.listener);
    expect_failure(&w, GIVE_UP_MS, ERROR_UNAVAILABLE, "connection_failed");
    cr_expect_eq(w.failure.http_status, 0);
    w.listener = -1;
    end(&w);
}

static void breaks_off(struct world *w)
{
    int fd = await_call(w);
    read_request(w, fd);
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"choi");
    close(fd);
    fd = await_call(w);
    read_request(w, fd);
    say(fd, "HTTP/1.1 500 X\r\nContent-Length: 500\r\n\r\n{\"err");
    close(fd);
    fd = await_call(w);
    read_request(w, fd);
    reset_connection(fd);
}

Test(llm_client, may_try_again_after_a_lost_connection)
{
    struct world w;
    begin(&w, breaks_off, "http");
    expect_failure(&w, GIVE_UP_MS, ERROR_RETRIABLE, "connection_lost");
    expect_failure(&w, GIVE_UP_MS, ERROR_RETRIABLE, "http_500");
    expect_failure(&w, GIVE_UP_MS, ERROR_RETRIABLE, "connection_lost");
    end(&w);
}

static void goes_stale(struct world *w)
{
    int fd = await_call(w);
    read_request(w, fd);
    answer(fd, 200, "", ANSWER);
    read_request(w, fd);
    reset_connection(fd);
    fd = await_call(w);
    w->request[0] = '\0';
    read_request(w, fd);
    answer(fd, 200, "", ANSWER);
    await_close(w, fd);
}

Test(llm_client, sends_again_when_a_kept_connection_was_stale)
{
    struct world w;
    begin(&w, goes_stale, "http");
    cr_expect_eq(ask_within(&w, GIVE_UP_MS), STATUS_OK, "%s", w.err.message);
    cr_expect_eq(ask_within(&w, GIVE_UP_MS), STATUS_OK, "%s", w.err.message);
    end(&w);
    cr_expect_eq(w.accepted, 2);
    cr_expect_not_null(strstr(w.request, "\r\n\r\n" BODY), "the whole body again: %s", w.request);
}

/* ---- size ---- */

static void says_too_much(struct world *w)
{
    int fd = await_call(w);
    read_request(w, fd);
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1025\r\n\r\n{");
    await_close(w, fd);
    fd = await_call(w);
    read_request(w, fd);
    say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 5; i++)
        say(fd, "100\r\n%256s\r\n", "");
    await_close(w, fd);
    fd = await_call(w);
    read_request(w, fd);
    say(fd, "HTTP/1.1 502 X\r\nContent-Length: 999999\r\n\r\n<html>");
    for (int i = 0; i < 5; i++) /* of an error the beginning is read, whatever its Content-Length */
        say(fd, "%256s", "");
    await_close(w, fd);
}

Test(llm_client, bounds_the_answer)
{
    struct world w;
    begin(&w, says_too_much, "http");
    expect_failure(&w, GIVE_UP_MS, ERROR_PERMANENT, "response_too_large");
    expect_failure(&w, GIVE_UP_MS, ERROR_PERMANENT, "response_too_large");
    expect_failure(&w, GIVE_UP_MS, ERROR_RETRIABLE, "http_502");
    end(&w);
}

/* ---- cancelling ---- */

#define CANCELS 9

static void stalls_and_says_so(struct world *w)
{
    for (int i = 0; i < CANCELS; i++) {
        int stalling = await_call(w);
        read_request(w, stalling);
        sem_post(&w->happened);
        await_close(w, stalling);
    }
    int fd = await_call(w);
    read_request(w, fd);
    answer(fd, 200, "", ANSWER);
    await_close(w, fd);
}

static int64_t fired_us;

static void *fire_when_asked(void *arg)
{
    struct world *w = arg;
    await(w);
    fired_us = clock_mono_us();
    http_cancel_fire(w->cancel);
    return NULL;
}

/* In the middle of nine: one alone may be late on a busy machine, while slices of a second would make it half a second. */
Test(llm_client, ends_a_call_at_once_when_cancelled)
{
    struct world w;
    int at_once = 0;
    begin(&w, stalls_and_says_so, "http");
    for (int i = 0; i < CANCELS; i++) {
        pthread_t other;
        http_cancel_reset(w.cancel);
        pthread_create(&other, NULL, fire_when_asked, &w);
        expect_failure(&w, 60000, ERROR_CANCELLED, "cancelled");
        at_once += clock_mono_us() - fired_us < 250000;
        pthread_join(other, NULL);
    }
    cr_expect_gt(at_once, CANCELS / 2, "%d of %d at once: not in curl's 1 s slices", at_once, CANCELS);

    expect_failure(&w, 60000, ERROR_CANCELLED, "cancelled"); /* still fired: the next call too */
    http_cancel_reset(w.cancel);
    cr_expect_eq(ask_within(&w, GIVE_UP_MS), STATUS_OK, "%s", w.err.message);
    end(&w);
    cr_expect(w.saw_close);
    cr_expect_eq(w.accepted, CANCELS + 1);
}

Test(llm_client, refuses_a_key_that_would_break_the_header)
{
    static char name[] = "main", url[] = "http://127.0.0.1:1/v1", key[] = "sk-secret\nX-Evil: 1";
    struct provider_settings provider = {.name = name, .url = url, .api_key = key};
    struct settings settings = {.providers = &provider, .provider_count = 1};
    struct http_pool *pool = NULL;
    struct error err = {0};
    cr_expect_eq(http_targets_pool(&settings, &pool, &err), STATUS_FAILED);
    cr_expect_str_eq(err.code, "bad_api_key");
    cr_expect_null(pool);
    cr_expect_null(strstr(err.message, "secret"));
}

static void answers_once(struct world *w)
{
    int fd = await_call(w);
    read_request(w, fd);
    answer(fd, 200, "", ANSWER);
    await_close(w, fd);
}

Test(llm_client, names_the_version_of_an_api_and_sends_its_key_as_asked)
{
    struct world w;
    static char version[] = "2024-10-21";
    begin(&w, answers_once, "http");
    llm_client_destroy(w.client);
    http_pool_destroy(w.pool);
    w.provider.api_version = version;
    w.provider.auth = AUTH_API_KEY;
    cr_assert_eq(http_targets_pool(&w.settings, &w.pool, &w.err), STATUS_OK);
    w.client = llm_client_create(&w.settings);
    cr_expect_eq(ask_within(&w, GIVE_UP_MS), STATUS_OK, "%s", w.err.message);
    end(&w);
    cr_expect_eq(strncmp(w.request, "POST /v1/chat/completions?api-version=2024-10-21 HTTP/1.1\r\n", 59), 0, "%s", w.request);
    cr_expect_not_null(strstr(w.request, "\r\napi-key: sk-secret\r\n"));
    cr_expect_null(strstr(w.request, "Authorization"));
}
