/* Decoding of whole answers, and of errors among them; the class of refusals. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "llm/llm_error.h"
#include "llm/llm_response.h"

#define SAID(text) "{\"role\":\"assistant\",\"content\":\"" text "\"}"

Test(response, gives_message_reason_model_and_usage)
{
    const char *body = "{\"model\":\"m\",\"choices\":[{\"finish_reason\":\"length\",\"message\":" SAID("a\\u0000b")
                       "}],"
                       "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":0}}";
    struct llm_answer answer = {0};
    struct error err = {0};
    cr_assert_eq(llm_response_decode(body, strlen(body), &answer, NULL, &err), STATUS_OK, "%s", err.message);
    cr_expect_eq(json_string_length(json_object_get(answer.message, "content")), 3);
    cr_expect_str_eq(answer.finish_reason, "length");
    cr_expect_str_eq(answer.model, "m");
    cr_expect_eq(answer.usage.prompt_tokens, 3);
    cr_expect_eq(answer.usage.completion_tokens, 0);
    cr_expect_eq(answer.usage.total_tokens, -1, "unknown, not zero");
    llm_answer_finish(&answer);
}

static void assert_arguments(const char *said, const char *expected)
{
    static const char *const forms[] = {"\"tool_calls\":[{\"id\":\"1\",\"function\":{\"name\":\"f\",\"arguments\":%s}}]", "\"function_call\":{\"name\":\"f\",\"arguments\":%s}"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        AUTO_FREE char *member = xasprintf(forms[i], said);
        AUTO_FREE char *body = xasprintf("{\"choices\":[{\"finish_reason\":\"tool_calls\",\"message\":{\"content\":null,%s}}]}", member);
        struct llm_answer answer = {0};
        struct error err = {0};
        cr_assert_eq(llm_response_decode(body, strlen(body), &answer, NULL, &err), STATUS_OK, "%s: %s", said, err.message);
        const json_t *call = json_array_get(json_object_get(answer.message, "tool_calls"), 0);
        const json_t *function = call != NULL ? json_object_get(call, "function") : json_object_get(answer.message, "function_call");
        const char *arguments = json_string_value(json_object_get(function, "arguments"));
        cr_expect(arguments != NULL && strcmp(arguments, expected) == 0, "%s: %s", said, arguments ? arguments : "no text");
        llm_answer_finish(&answer);
    }
}

/* Ollama's own form and TGI's are trees: the client that executes the call reads a text, and a provider that gets it back accepts nothing else. */
Test(response, has_the_arguments_of_a_call_as_a_text)
{
    assert_arguments("\"{\\\"a\\\": 1}\"", "{\"a\": 1}");
    assert_arguments("{\"city\":\"Köln\", \"n\":[1,2.5,null]}", "{\"city\":\"Köln\",\"n\":[1,2.5,null]}");
    assert_arguments("{}", "{}");
    assert_arguments("null", "");
}

Test(response, without_an_answer_is_retriable)
{
    char deep[4000];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    const char *const bodies[] = {"", "{", "<html>", "[]", "{}", "{\"choices\":[]}", "{\"choices\":[{}]}",
                                  "{\"choices\":[{\"message\":null}]}", deep};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct llm_answer answer = {0};
        struct error err = {0};
        cr_expect_eq(llm_response_decode(bodies[i], strlen(bodies[i]), &answer, NULL, &err), STATUS_FAILED);
        cr_expect_eq(err.class, ERROR_RETRIABLE, "%.20s", bodies[i]);
        cr_expect_str_eq(err.code, "invalid_response");
        cr_expect_null(answer.message);
    }
}

/* A megabyte of values in the message's members, which would take a hundred as trees. */
Test(response, several_chunks_in_one_body_take_no_more_than_one_tree)
{
    AUTO_FREE char *body = xcalloc(1, 1 << 20);
    struct llm_answer answer = {0};
    struct error err = {0};
    size_t size = 0;
    for (int chunk = 0; chunk < 60; chunk++) {
        size += (size_t)sprintf(body + size, "{\"choices\":[{\"delta\":{\"m%d\":[0", chunk);
        for (int i = 0; i < 5000; i++, size += 3)
            memcpy(body + size, ",[]", 3);
        size += (size_t)sprintf(body + size, "]},\"finish_reason\":\"stop\"}]}\n");
    }
    cr_expect_eq(llm_response_decode(body, size, &answer, NULL, &err), STATUS_FAILED);
    cr_expect_str_eq(err.code, "response_too_large");
    cr_expect_null(answer.message);
}

static struct error decode_error(const char *body, struct llm_failure *failure)
{
    struct llm_answer answer = {0};
    struct error err = {0};
    cr_expect_eq(llm_response_decode(body, strlen(body), &answer, failure, &err), STATUS_FAILED);
    return err;
}

Test(response, may_be_an_error_after_a_200)
{
    struct llm_failure failure = {0};
    cr_expect_eq(decode_error("{\"error\":{\"message\":\"m\",\"code\":503}}", &failure).class, ERROR_UNAVAILABLE);
    cr_expect_eq(decode_error("{\"error\":{\"code\":\"insufficient_quota\"}}", &failure).class, ERROR_PERMANENT);
    cr_expect_eq(failure.kind, FAILURE_BILLING);
    cr_expect_eq(decode_error("{\"error\":{\"code\":\"rate_limit_exceeded\"}}", NULL).class, ERROR_RETRIABLE);
    cr_expect_eq(decode_error("{\"error\":\"boom\"}", NULL).class, ERROR_RETRIABLE);
    struct error err = decode_error("{\"error\":{\"code\":400,\"type\":\"exceed_context_size_error\"}}", &failure);
    cr_expect_eq(err.class, ERROR_PERMANENT);
    cr_expect_eq(failure.kind, FAILURE_TOO_LONG);
}

static const struct {
    int status;
    const char *body;
    enum error_class class;
    const char *code;
    bool overflow;
} refusals[] = {
    {429, "{\"error\":{\"code\":\"rate_limit_exceeded\",\"type\":\"tokens\"}}", ERROR_RETRIABLE, "rate_limit_exceeded", 0},
    {429, "{\"error\":{\"code\":\"insufficient_quota\"}}", ERROR_PERMANENT, "insufficient_quota", 0},
    {429, "{\"error\":{\"code\":null,\"type\":\"insufficient_quota\"}}", ERROR_PERMANENT, "insufficient_quota", 0},
    {429, "{\"error\":{\"code\":\"billing_hard_limit_reached\"}}", ERROR_PERMANENT, "billing_hard_limit_reached", 0},
    {429, "{\"error\":{\"code\":\"billing_not_active\"}}", ERROR_PERMANENT, "billing_not_active", 0},
    {429, "[{\"error\":{\"code\":429,\"status\":\"RESOURCE_EXHAUSTED\"}}]", ERROR_RETRIABLE, "RESOURCE_EXHAUSTED", 0},
    {402, "", ERROR_PERMANENT, "http_402", 0},
    {408, "", ERROR_RETRIABLE, "http_408", 0},
    {409, "", ERROR_RETRIABLE, "http_409", 0},
    {424, "{\"error\":\"Request failed\",\"error_type\":\"generation\"}", ERROR_RETRIABLE, "generation", 0},
    {500, "<html>secret</html>", ERROR_RETRIABLE, "http_500", 0},
    {502, "", ERROR_RETRIABLE, "http_502", 0},
    {503, "{\"error\":{\"code\":503,\"message\":\"Loading model\",\"type\":\"unavailable_error\"}}", ERROR_UNAVAILABLE,
     "unavailable_error", 0},
    {529, "{\"error\":{\"type\":\"overloaded_error\"}}", ERROR_UNAVAILABLE, "overloaded_error", 0},
    {401, "{\"error\":{\"code\":\"invalid_api_key\",\"message\":\"secret\"}}", ERROR_PERMANENT, "invalid_api_key", 0},
    {404, "{\"error\":{\"code\":\"a secret sentence\"}}", ERROR_PERMANENT, "http_404", 0},
    {301, "", ERROR_PERMANENT, "http_301", 0},
    {400, "{\"error\":{\"code\":\"context_length_exceeded\"}}", ERROR_PERMANENT, "context_length_exceeded", 1},
    {400, "{\"error\":{\"code\":400,\"type\":\"exceed_context_size_error\",\"n_ctx\":4096}}", ERROR_PERMANENT,
     "context_length_exceeded", 1},
    {400, "{\"object\":\"error\",\"type\":\"BadRequestError\",\"code\":400,\"message\":\"This model's maximum context "
          "length is 4096 tokens. secret\"}", ERROR_PERMANENT, "context_length_exceeded", 1},
    {422, "{\"error\":\"`inputs` must have less than 1024 tokens\",\"error_type\":\"validation\"}", ERROR_PERMANENT,
     "context_length_exceeded", 1},
    {500, "{\"error\":{\"message\":\"maximum context length\"}}", ERROR_RETRIABLE, "http_500", 0},
};

Test(refusal, is_unexplained_unless_it_names_something_else_than_the_conversation)
{
    static const char *const unexplained[] = {
        "", "no", "5", "[]", "{\"detail\":{\"error\":{\"message\":\"no\"}}}", "[{\"error\":{\"status\":\"INVALID_ARGUMENT\"}}]", "{\"error\":{\"param\":[\"x\"]}}",
        "{\"error\":{\"param\":\"messages.[2].content\"}}", "{\"error\":{\"param\":\"body.messages[1]\"}}", "{\"error\":{\"param\":\"$.messages[0].content\"}}",
        "{\"error\":{\"param\":\"contents[1].parts\"}}", "{\"error\":{\"param\":\"input\"}}", "{\"error\":{\"param\":\"prompt\"}}",
        "{\"error\":{\"code\":\"missing_required_parameter\",\"message\":\"messages.1.content: field required\"}}",
        "{\"detail\":[{\"loc\":[\"messages\",1,\"content\"]}]}", "{\"detail\":[{\"loc\":[\"body\",\"messages\",1]}]}"};
    static const char *const explained[] = {
        "{\"error\":{\"param\":\"temperature\"}}", "{\"error\":{\"param\":\"max_input_tokens\"}}", "{\"error\":{\"param\":\"prompt_cache_key\"}}",
        "{\"error\":{\"code\":\"unsupported_parameter\",\"message\":\"'max_tokens' isn't supported with this model\"}}",
        "{\"detail\":[{\"loc\":[\"body\",\"temperature\"]}]}", "{\"detail\":[{\"loc\":[\"temperature\"]}]}"};
    for (size_t i = 0; i < sizeof unexplained / sizeof *unexplained + sizeof explained / sizeof *explained; i++) {
        bool is = i < sizeof unexplained / sizeof *unexplained;
        const char *body = is ? unexplained[i] : explained[i - sizeof unexplained / sizeof *unexplained];
        struct llm_failure failure = {0};
        struct error err = {0};
        llm_error_classify(400, body, strlen(body), &failure, &err);
        cr_expect_eq(failure.unexplained, is, "%s", body);
    }
}

Test(refusal, is_classed_by_status_and_code)
{
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct llm_failure failure = {0};
        struct error err = {0};
        llm_error_classify(refusals[i].status, refusals[i].body, strlen(refusals[i].body), &failure, &err);
        cr_expect_eq(err.class, refusals[i].class, "%d %s", refusals[i].status, refusals[i].body);
        cr_expect_str_eq(err.code, refusals[i].code);
        cr_expect_eq(failure.kind == FAILURE_TOO_LONG, refusals[i].overflow, "%s", refusals[i].body);
        cr_expect_null(strstr(err.message, "secret"), "a body's text stays out: %s", err.message);
    }
    llm_error_classify(500, NULL, 0, NULL, NULL);
}
