/* What a failed call says of the provider: a row for each kind, and one for each way of saying it that is known. */
#include <criterion/criterion.h>
#include <string.h>

#include "llm/call_failure.h"
#include "llm/llm_error.h"
#include "llm/llm_response.h"
#include "llm/stream_fold.h"

static const struct failure_job no_job;

/* ---- a refusal ---- */

static const struct {
    int status;
    const char *body;
    enum failure_kind kind;
} refusals[] = {
    /* by status alone */
    {301, "", FAILURE_ACCESS},
    {400, "", FAILURE_REQUEST},
    {401, "", FAILURE_ACCESS},
    {402, "", FAILURE_BILLING},
    {403, "", FAILURE_ACCESS},
    {404, "", FAILURE_MODEL},
    {405, "", FAILURE_ACCESS},
    {408, "", FAILURE_TIMEOUT},
    {407, "", FAILURE_GONE},
    {409, "", FAILURE_TIMEOUT},
    {410, "", FAILURE_MODEL},
    {413, "", FAILURE_TOO_LONG},
    {422, "", FAILURE_REQUEST},
    {424, "", FAILURE_SERVER},
    {429, "", FAILURE_RATE},
    {500, "", FAILURE_SERVER},
    {502, "<html>bad gateway</html>", FAILURE_SERVER},
    {503, "", FAILURE_OVERLOAD},
    {504, "", FAILURE_TIMEOUT},
    {529, "", FAILURE_OVERLOAD},
    /* by what it says */
    {400, "{\"error\":{\"code\":\"invalid_api_key\"}}", FAILURE_ACCESS},
    {400, "{\"error\":{\"code\":\"model_not_found\"}}", FAILURE_MODEL},
    {413, "{\"error\":{\"code\":\"rate_limit_exceeded\",\"type\":\"tokens\"}}", FAILURE_RATE},
    {400, "{\"error\":{\"code\":\"context_length_exceeded\"}}", FAILURE_TOO_LONG},
    {429, "{\"error\":{\"code\":\"insufficient_quota\"}}", FAILURE_BILLING},
    {403, "{\"error\":{\"code\":\"account_deactivated\",\"message\":\"flagged\"}}", FAILURE_BILLING},
    {403, "{\"error\":{\"code\":\"permission_error\",\"message\":\"no right to this model\"}}", FAILURE_ACCESS},
    /* a content that is refused: OpenAI, Azure, Alibaba, Moonshot, Volcengine, Zhipu, OpenRouter, xAI, Stability, a text */
    {400, "{\"error\":{\"code\":\"content_policy_violation\"}}", FAILURE_CONTENT},
    {400, "{\"error\":{\"code\":\"invalid_prompt\",\"message\":\"your prompt was flagged as potentially violating our usage policy\"}}", FAILURE_CONTENT},
    {400, "{\"error\":{\"code\":\"content_filter\",\"innererror\":{\"code\":\"ResponsibleAIPolicyViolation\"}}}", FAILURE_CONTENT},
    {400, "{\"error\":{\"code\":\"data_inspection_failed\",\"type\":\"data_inspection_failed\"}}", FAILURE_CONTENT},
    {400, "{\"error\":{\"type\":\"invalid_request\",\"message\":\"The request was rejected because it was considered high risk\"}}", FAILURE_CONTENT},
    {400, "{\"error\":{\"code\":\"SensitiveContentDetected\"}}", FAILURE_CONTENT},
    {400, "{\"error\":{\"code\":\"1301\"}}", FAILURE_CONTENT},
    {403, "{\"error\":{\"code\":403,\"message\":\"The model requires moderation and your input was flagged\"}}", FAILURE_CONTENT},
    {403, "{\"code\":\"no permission\",\"error\":\"Content violates usage guidelines. Failed check: SAFETY\"}", FAILURE_CONTENT},
    {403, "{\"name\":\"content_moderation\",\"errors\":[\"Your request was flagged by our content moderation system\"]}", FAILURE_CONTENT},
    {403, "blocked by the moderation", FAILURE_CONTENT},
    /* a gateway's own words, and other languages */
    {403, "{\"error\":{\"code\":403,\"message\":\"Provider returned error\",\"metadata\":{\"reasons\":[\"violence\"],\"flagged_input\":\"x\"}}}", FAILURE_CONTENT},
    {403, "{\"error\":{\"code\":403,\"message\":\"Provider returned error\",\"metadata\":{\"flagged_input\":\"x\"}}}", FAILURE_CONTENT},
    {403, "{\"error\":{\"message\":\"Request blocked by guardrail\"}}", FAILURE_CONTENT},
    {403, "{\"error\":{\"message\":\"This request violates our terms of service\"}}", FAILURE_CONTENT},
    {403, "Blocked: hate speech detected in prompt", FAILURE_CONTENT},
    {403, "{\"error\":{\"message\":\"Ihre Eingabe wurde von der Moderation beanstandet\"}}", FAILURE_CONTENT},
    {403, "{\"error\":{\"message\":\"Die Anfrage verst\u00f6\u00dft gegen unsere Inhaltsrichtlinien\"}}", FAILURE_CONTENT},
    {403, "{\"error\":{\"message\":\"Votre contenu a \\u00e9t\\u00e9 signal\\u00e9\"}}", FAILURE_CONTENT},
    {403, "{\"error\":{\"message\":\"\u8f93\u5165\u5185\u5bb9\u5305\u542b\u654f\u611f\u4fe1\u606f\"}}", FAILURE_CONTENT},
    {400, "{\"error\":{\"message\":\"\u8f93\u5165\u5185\u5bb9\u5305\u542b\u654f\u611f\u4fe1\u606f\"}}", FAILURE_CONTENT},
    {451, "{\"error\":{\"message\":\"prohibited content\"}}", FAILURE_CONTENT},
    {500, "{\"error\":{\"code\":\"content_filter\"}}", FAILURE_CONTENT},
    /* the same words of something else */
    {403, "{\"error\":{\"message\":\"Your account was flagged and is suspended\"}}", FAILURE_ACCESS},
    {403, "{\"error\":{\"message\":\"Kein Zugriff auf diesen Inhalt\"}}", FAILURE_ACCESS},
    {403, "{\"error\":{\"message\":\"simulated error 403\",\"type\":\"invalid_request_error\"}}", FAILURE_ACCESS},
    {403, "{\"error\":{\"message\":\"this api key may not use the moderation endpoint\"}}", FAILURE_ACCESS},
    {403, "<html><body>Your request was flagged as a bot's</body></html>", FAILURE_ACCESS},
    {400, "{\"error\":{\"message\":\"unknown parameter: moderation\"}}", FAILURE_REQUEST},
    {500, "{\"error\":{\"message\":\"the moderation service has failed, flagged for review\"}}", FAILURE_SERVER},
    {401, "{\"error\":{\"message\":\"flagged\"}}", FAILURE_ACCESS},
};

Test(failure_kind, of_a_refusal_is_by_its_words_then_by_its_status)
{
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct llm_failure failure = {0};
        struct error err = {0};
        llm_error_classify(refusals[i].status, refusals[i].body, strlen(refusals[i].body), &failure, &err);
        cr_expect_eq(failure.kind, refusals[i].kind, "%d %s: %d", refusals[i].status, refusals[i].body, failure.kind);
        if (refusals[i].kind != FAILURE_CONTENT)
            continue;
        cr_expect_str_eq(err.code, "content_filter", "%s", refusals[i].body);
        cr_expect_eq(err.class, ERROR_PERMANENT);
        cr_expect_null(strstr(err.message, "api_key"), "no hint to check the key: %s", err.message);
    }
}

Test(failure_kind, is_known_without_a_body)
{
    struct llm_failure failure = {0};
    struct error err = {0};
    llm_error_classify(403, NULL, 0, &failure, &err);
    cr_expect_eq(failure.kind, FAILURE_ACCESS);
}

/* ---- an answer ---- */

Test(failure_kind, of_an_answer_that_cannot_be_read_is_the_answers)
{
    static const struct {
        const char *body;
        enum failure_kind kind;
    } answers[] = {
        {"{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"\\ud83d\"}}]}", FAILURE_NONE},
        {"{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"yes", FAILURE_ANSWER},
        {"{\"choices\":[]}", FAILURE_ANSWER},
        {"{\"choices\":[{}]}", FAILURE_ANSWER},
        {"{}", FAILURE_ANSWER},
        {"", FAILURE_ANSWER},
        {"<html></html>", FAILURE_ANSWER},
        {"{\"choices\":[{\"message\":{\"content\":\"\xff\"}}]}", FAILURE_NONE},
        {"{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"yes\"}}]}", FAILURE_NONE},
        {"{\"error\":{\"code\":\"rate_limit_exceeded\"}}", FAILURE_RATE},
        {"{\"error\":{\"code\":500}}", FAILURE_SERVER},
        {"{\"error\":{},\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"yes\"}}]}", FAILURE_NONE},
        {"{\"error\":\"\",\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"yes\"}}]}", FAILURE_NONE},
        {"{\"base_resp\":{\"status_code\":0},\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"yes\"}}]}", FAILURE_NONE},
        {"{\"code\":30001,\"message\":\"Sorry, your account balance is insufficient\",\"data\":null}", FAILURE_BILLING},
        {"{\"status\":\"processing\",\"message\":\"wait\"}", FAILURE_ANSWER},
        {"{\"error\":{\"code\":400,\"message\":\"flagged\"}}", FAILURE_CONTENT},
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct llm_failure failure = {0};
        struct llm_answer answer = {0};
        struct error err = {0};
        (void)!llm_response_decode(answers[i].body, strlen(answers[i].body), &answer, &failure, &err);
        cr_expect_eq(failure.kind, answers[i].kind, "%s: %d", answers[i].body, failure.kind);
        llm_answer_finish(&answer);
    }
}

Test(failure_kind, of_a_stream_tells_what_is_whole_from_what_broke_off)
{
    static const struct {
        const char *data[2]; /* of its events */
        bool orderly;
        enum failure_kind kind;
    } streams[] = {
        {{"{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}", "[DONE]"}, true, FAILURE_NONE},
        {{"{\"choices\":[{\"delta\":{\"content\":\"\\ud83d\"}}]}", "[DONE]"}, true, FAILURE_NONE},
        {{"{\"choices\":[{\"delta\":{\"content\":\"a\"}", "[DONE]"}, true, FAILURE_ANSWER},
        {{"{\"choices\":[{\"delta\":{\"m\":\"a\"}}]}", "{\"choices\":[{\"delta\":{\"m\":{\"a\":1}},\"finish_reason\":\"stop\"}]}"}, true, FAILURE_ANSWER},
        {{"{\"choices\":[]}", "[DONE]"}, true, FAILURE_ANSWER},
        {{"{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}", NULL}, true, FAILURE_SERVER},
        {{"{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}", NULL}, false, FAILURE_SERVER},
        {{"{\"error\":{\"code\":\"rate_limit_exceeded\"}}", NULL}, true, FAILURE_RATE},
        {{"{\"choices\":[{\"delta\":{\"content\":\"0123456789012345678901234567890123456789\"}}]}", NULL}, true, FAILURE_ANSWER},
    };
    for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
        struct stream_fold fold;
        struct llm_failure failure = {0};
        struct llm_answer answer = {0};
        struct error err = {0};
        stream_fold_init(&fold, 32);
        for (size_t n = 0; n < 2 && streams[i].data[n] != NULL; n++)
            (void)stream_fold_event(&fold, &(struct sse_event){.name = "message", .data = streams[i].data[n], .size = strlen(streams[i].data[n])});
        (void)!stream_fold_end(&fold, streams[i].orderly, &answer, &failure, &err);
        cr_expect_eq(failure.kind, streams[i].kind, "%s: %d", streams[i].data[0], failure.kind);
        llm_answer_finish(&answer);
        stream_fold_finish(&fold);
    }
}

/* ---- no whole answer ---- */

Test(failure_kind, of_a_call_without_an_answer_is_by_how_it_ended)
{
    static const struct {
        CURLcode code;
        bool too_large;
        enum failure_kind kind;
    } calls[] = {
        {CURLE_COULDNT_CONNECT, false, FAILURE_GONE},      {CURLE_COULDNT_RESOLVE_HOST, false, FAILURE_GONE},
        {CURLE_SSL_CONNECT_ERROR, false, FAILURE_GONE},    {CURLE_PEER_FAILED_VERIFICATION, false, FAILURE_GONE},
        {CURLE_OPERATION_TIMEDOUT, false, FAILURE_GONE},   {CURLE_RECV_ERROR, false, FAILURE_SERVER},
        {CURLE_GOT_NOTHING, false, FAILURE_SERVER},        {CURLE_PARTIAL_FILE, false, FAILURE_SERVER},
        {CURLE_WEIRD_SERVER_REPLY, false, FAILURE_SERVER}, {CURLE_BAD_CONTENT_ENCODING, false, FAILURE_ANSWER},
        {CURLE_WRITE_ERROR, true, FAILURE_ANSWER},         {CURLE_URL_MALFORMAT, false, FAILURE_ACCESS},
        {CURLE_OUT_OF_MEMORY, false, FAILURE_NONE},
    };
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        struct http_call call = {.code = calls[i].code, .body_too_large = calls[i].too_large};
        cr_expect_eq(call_failure_kind(&call), calls[i].kind, "%s", curl_easy_strerror(calls[i].code));
    }
}

/* ---- what it weighs ---- */

Test(failure_kind, weighs_by_whether_a_job_can_cause_it)
{
    static const struct failure_job late = {.out_of_time = true}, choosy = {.named_model = true}, quoted = {.may_be_quoted = true};
    static const struct {
        enum failure_kind kind;
        const struct failure_job *job;
        enum failure_weight weight;
        bool questions;
    } rows[] = {
        {FAILURE_NONE, &no_job, WEIGHS_NOTHING, false},      {FAILURE_REQUEST, &no_job, WEIGHS_FOR, true},
        {FAILURE_TOO_LONG, &no_job, WEIGHS_FOR, true},       {FAILURE_CONTENT, &no_job, WEIGHS_FOR, true},
        {FAILURE_ANSWER, &no_job, WEIGHS_NOTHING, false},    {FAILURE_ACCESS, &no_job, WEIGHS_EACH_TIME, false},
        {FAILURE_BILLING, &no_job, WEIGHS_EACH_TIME, false}, {FAILURE_MODEL, &no_job, WEIGHS_EACH_TIME, false},
        {FAILURE_MODEL, &choosy, WEIGHS_NOTHING, false},     {FAILURE_ACCESS, &choosy, WEIGHS_EACH_TIME, false},
        {FAILURE_RATE, &no_job, WEIGHS_EACH_TIME, false},    {FAILURE_GONE, &no_job, WEIGHS_EACH_TIME, false},
        {FAILURE_OVERLOAD, &no_job, WEIGHS_ONCE, false},     {FAILURE_TIMEOUT, &no_job, WEIGHS_ONCE, false},
        {FAILURE_TIMEOUT, &late, WEIGHS_NOTHING, false},     {FAILURE_GONE, &late, WEIGHS_EACH_TIME, false},
        {FAILURE_SERVER, &no_job, WEIGHS_ONCE, false},       {FAILURE_BILLING, &quoted, WEIGHS_ONCE, false},
        {FAILURE_RATE, &quoted, WEIGHS_ONCE, false},         {FAILURE_CONTENT, &quoted, WEIGHS_FOR, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_expect_eq(failure_weight(rows[i].kind, rows[i].job), rows[i].weight, "row %zu", i);
        cr_expect_eq(failure_is_the_questions(rows[i].kind), rows[i].questions, "row %zu", i);
    }
}
