/* What finish_reason means, a row for each known value, and some unknown ones. */
#include "llm/finish_reason.h"

#include <criterion/criterion.h>

#include "base/cleanup.h"
#include "llm/llm_response.h"

Test(finish_reason, means_what_its_provider_means_by_it)
{
    static const struct {
        const char *reason;
        enum finish finish;
    } rows[] = {
        {NULL, FINISH_GOOD},
        {"", FINISH_GOOD},
        {"stop", FINISH_GOOD},
        {"length", FINISH_GOOD},
        {"tool_calls", FINISH_GOOD},
        {"function_call", FINISH_GOOD},
        {"STOP", FINISH_GOOD}, /* Google's own */
        {"MAX_TOKENS", FINISH_GOOD},
        {"end_turn", FINISH_GOOD}, /* Anthropic's own */
        {"stop_sequence", FINISH_GOOD},
        {"tool_use", FINISH_GOOD},
        {"COMPLETE", FINISH_GOOD}, /* Cohere's */
        {"eos_token", FINISH_GOOD}, /* TGI's */
        {"model_length", FINISH_GOOD}, /* Mistral's */
        {"content_filter", FINISH_CONTENT},
        {"content_filter: PROHIBITED_CONTENT", FINISH_CONTENT},
        {"SAFETY", FINISH_CONTENT},
        {"PROHIBITED_CONTENT", FINISH_CONTENT},
        {"IMAGE_SAFETY", FINISH_CONTENT},
        {"RECITATION", FINISH_CONTENT},
        {"sensitive", FINISH_CONTENT},
        {"guardrail_intervened", FINISH_CONTENT},
        {"ERROR_TOXIC", FINISH_CONTENT},
        {"refusal", FINISH_CONTENT},
        {"model_context_window_exceeded", FINISH_TOO_LONG},
        {"error", FINISH_BROKEN},
        {"ERROR", FINISH_BROKEN},
        {"ERROR_LIMIT", FINISH_BROKEN},
        {"abort", FINISH_BROKEN},
        {"aborted", FINISH_BROKEN},
        {"cancelled", FINISH_BROKEN},
        {"insufficient_system_resource", FINISH_BROKEN},
        {"network_error", FINISH_BROKEN},
        {"timeout", FINISH_BROKEN},
        {"MALFORMED_FUNCTION_CALL", FINISH_BROKEN},
        {"internal_failure", FINISH_BROKEN},
        {"engine_overloaded", FINISH_BROKEN},
        {"function_call_filter: MALFORMED_FUNCTION_CALL", FINISH_BROKEN}, /* Google's compatible endpoint, as the next */
        {"function_call_filter: UNEXPECTED_TOOL_CALL", FINISH_BROKEN},
        {"TOO_MANY_TOOL_CALLS", FINISH_BROKEN},
        {"MISSING_THOUGHT_SIGNATURE", FINISH_BROKEN},
        {"engine_dead", FINISH_BROKEN},
        {"deadline_exceeded", FINISH_BROKEN},
        {"connection_lost", FINISH_BROKEN},
        {"invalid_tool_call", FINISH_BROKEN},
        {"error: upstream", FINISH_BROKEN},
        {"other: SAFETY", FINISH_CONTENT},
        {"stop: eos", FINISH_GOOD},
        {"LANGUAGE", FINISH_CONTENT},
        {"MODEL_ARMOR", FINISH_CONTENT},
        {"repetition_truncation", FINISH_UNKNOWN},
        {"OTHER", FINISH_UNKNOWN},
        {"finished: so it is", FINISH_UNKNOWN},
        {"unknown", FINISH_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect_eq(finish_reason_look(rows[i].reason), rows[i].finish, "%s: %d", rows[i].reason, finish_reason_look(rows[i].reason));
}

static enum status check(const char *body, struct llm_failure *failure, struct error *err)
{
    struct llm_answer answer = {0};
    enum status status = llm_response_decode(body, strlen(body), &answer, failure, err);
    llm_answer_finish(&answer);
    return status;
}

Test(finish_reason, ends_an_answer_as_it_says)
{
    static const struct {
        const char *choice;
        enum failure_kind kind; /* FAILURE_NONE: it is an answer */
    } rows[] = {
        {"\"message\":{\"content\":\"half\"},\"finish_reason\":\"stop\"", FAILURE_NONE},
        {"\"message\":{\"content\":\"half\"},\"finish_reason\":\"error\"", FAILURE_SERVER},
        {"\"message\":{\"content\":\"half\"},\"finish_reason\":\"stop\",\"error\":{\"code\":502,\"message\":\"no\"}", FAILURE_SERVER},
        {"\"message\":{\"content\":\"half\"},\"finish_reason\":\"error\",\"error\":{\"code\":\"429\"}", FAILURE_RATE},
        {"\"message\":{\"content\":\"half\"},\"finish_reason\":\"stop\",\"error\":null", FAILURE_NONE},
        {"\"message\":{\"content\":\"half\"},\"finish_reason\":\"stop\",\"error\":{}", FAILURE_NONE},
        {"\"message\":{\"content\":\"half\"},\"finish_reason\":null,\"native_finish_reason\":\"abort\"", FAILURE_SERVER},
        {"\"message\":{\"content\":\"\"},\"finish_reason\":\"stop\",\"native_finish_reason\":\"MALFORMED_FUNCTION_CALL\"", FAILURE_SERVER},
        {"\"message\":{\"content\":\"whole\"},\"finish_reason\":\"stop\",\"native_finish_reason\":\"error\"", FAILURE_NONE},
        {"\"message\":{\"content\":\"\"},\"finish_reason\":\"content_filter\"", FAILURE_NONE}, /* judged by llm_ask.c */
        {"\"finish_reason\":\"content_filter\"", FAILURE_CONTENT},
        {"\"message\":null,\"finish_reason\":\"SAFETY\"", FAILURE_CONTENT},
        {"\"message\":{\"content\":\"\"},\"finish_reason\":\"model_context_window_exceeded\"", FAILURE_TOO_LONG},
        {"\"message\":{\"content\":\"as far as it went\"},\"finish_reason\":\"model_context_window_exceeded\"", FAILURE_NONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char body[512];
        struct llm_failure failure = {.retry_after_ms = -1};
        struct error err = {0};
        snprintf(body, sizeof body, "{\"choices\":[{%s}]}", rows[i].choice);
        cr_expect_eq(check(body, &failure, &err), rows[i].kind == FAILURE_NONE ? STATUS_OK : STATUS_FAILED, "%s: %s", body, err.message);
        cr_expect_eq(failure.kind, rows[i].kind, "%s: %s", body, failure_kind_name(failure.kind));
    }
}
