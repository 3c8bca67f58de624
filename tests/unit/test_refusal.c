/* What refusals mean: a row for each that a provider, a server or a gateway is known to send, in its own form. */
#include "llm/refusal.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "llm/llm_response.h"
#include "llm/refusal_text.h"
#include "llm/refusal_wait.h"
#include "llm/stream_fold.h"

#define REQUEST FAILURE_REQUEST
#define TOO_LONG FAILURE_TOO_LONG
#define CONTENT FAILURE_CONTENT
#define ACCESS FAILURE_ACCESS
#define BILLING FAILURE_BILLING
#define MODEL FAILURE_MODEL
#define RATE FAILURE_RATE
#define OVERLOAD FAILURE_OVERLOAD
#define SERVER FAILURE_SERVER
#define TIMEOUT FAILURE_TIMEOUT

#define MESSAGE(text) "{\"error\":{\"message\":\"" text "\"}}"
#define INVALID(text) "{\"error\":{\"message\":\"" text "\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}"
#define ANTHROPIC(type, text) "{\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\"" text "\"},\"request_id\":\"req_1\"}"
#define GOOGLE(code, status, text, details) "[{\"error\":{\"code\":" code ",\"message\":\"" text "\",\"status\":\"" status "\",\"details\":[" details "]}}]"
#define MINIMAX(code, text) "{\"id\":\"1\",\"choices\":null,\"base_resp\":{\"status_code\":" code ",\"status_msg\":\"" text "\"}}"

struct row {
    int status; /* 0: in a 200 */
    enum failure_kind kind;
    const char *code; /* NULL: any */
    const char *body;
};

static void expect_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct refusal refusal;
        struct refusal_facts facts = {.http_status = rows[i].status, .header_wait_ms = -1};
        refusal_read(&facts, rows[i].body, strlen(rows[i].body), NULL, &refusal);
        cr_expect_eq(refusal.kind, rows[i].kind, "%d %s: %s, not %s", rows[i].status, rows[i].body, failure_kind_name(refusal.kind), failure_kind_name(rows[i].kind));
        if (rows[i].code != NULL)
            cr_expect_str_eq(refusal.code, rows[i].code, "%d %s: %s", rows[i].status, rows[i].body, refusal.code);
        refusal_finish(&refusal);
    }
}

#define EXPECT_ROWS(rows) expect_rows(rows, sizeof rows / sizeof rows[0])

/* ---- kind by kind ---- */

Test(refusal, about_the_key_the_account_or_the_region_is_the_providers_also_as_a_400)
{
    static const struct row rows[] = {
        {401, ACCESS, "invalid_api_key", "{\"error\":{\"message\":\"Incorrect API key provided: sk-ab**yz.\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"invalid_api_key\"}}"},
        {400, ACCESS, "API_KEY_INVALID", GOOGLE("400", "INVALID_ARGUMENT", "the key is not valid", "{\"reason\":\"API_KEY_INVALID\"}")},
        {400, ACCESS, "API_KEY_INVALID", GOOGLE("400", "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.",
               "{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"API_KEY_INVALID\",\"domain\":\"googleapis.com\",\"metadata\":{\"service\":\"generativelanguage.googleapis.com\"}}")},
        {400, ACCESS, "access_denied", GOOGLE("400", "INVALID_ARGUMENT", "API key expired. Please renew the API key.", "")},
        {400, ACCESS, "FAILED_PRECONDITION", GOOGLE("400", "FAILED_PRECONDITION", "User location is not supported for the API use.", "")},
        {403, ACCESS, "SERVICE_DISABLED", GOOGLE("403", "PERMISSION_DENIED", "Generative Language API has not been used in project 1 before or it is disabled.", "{\"reason\":\"SERVICE_DISABLED\"}")},
        {403, ACCESS, "CONSUMER_SUSPENDED", GOOGLE("403", "PERMISSION_DENIED", "Permission denied: Consumer 'api_key:AI' has been suspended.", "{\"reason\":\"CONSUMER_SUSPENDED\"}")},
        {400, ACCESS, "access_denied", "{\"code\":\"Client specified an invalid argument\",\"error\":\"Incorrect API key provided: gs***tF. You can obtain an API key from https://console.x.ai.\"}"},
        {403, ACCESS, "unsupported_country_region_territory", "{\"error\":{\"code\":\"unsupported_country_region_territory\",\"message\":\"Country, region, or territory not supported\",\"param\":null,\"type\":\"request_forbidden\"}}"},
        {400, ACCESS, "unsupported_country_region_territory", "{\"code\":\"unsupported_country_region_territory\",\"message\":\"Country, region, or territory not supported\"}"},
        {401, ACCESS, "authentication_error", ANTHROPIC("authentication_error", "invalid x-api-key")},
        {403, ACCESS, "permission_error", ANTHROPIC("permission_error", "Your API key does not have permission to use the specified resource.")},
        {400, ACCESS, "authentication_error", ANTHROPIC("authentication_error", "invalid x-api-key")},
        {400, ACCESS, "access_denied", ANTHROPIC("invalid_request_error", "This organization has been disabled.")},
        {401, ACCESS, NULL, "{\"error\":{\"code\":\"401\",\"message\":\"Access denied due to invalid subscription key or wrong API endpoint.\"}}"},
        {400, ACCESS, "http_401", "{\"error\":{\"code\":\"401\",\"message\":\"no\"}}"},
        {401, ACCESS, "InvalidApiKey", "{\"code\":\"InvalidApiKey\",\"message\":\"Invalid API-key provided.\",\"request_id\":\"1\"}"},
        {403, ACCESS, NULL, "{\"error\":{\"code\":\"AccessDenied\",\"message\":\"The request failed because you do not have access to the requested resource.\",\"type\":\"Forbidden\"}}"},
        {400, ACCESS, "1110", "{\"error\":{\"code\":\"1110\",\"message\":\"\xe6\x82\xa8\xe7\x9a\x84\xe8\xb4\xa6\xe6\x88\xb7\xe5\xbd\x93\xe5\x89\x8d\xe5\xa4\x84\xe4\xba\x8e\xe9\x9d\x9e\xe6\xbf\x80\xe6\xb4\xbb\xe7\x8a\xb6\xe6\x80\x81\"}}"},
        {0, ACCESS, "1004", MINIMAX("1004", "login fail: Please carry the API secret key in the 'Authorization' field of the request header")},
        {0, ACCESS, "2049", MINIMAX("2049", "invalid api key")},
        {401, ACCESS, NULL, "{\"success\":false,\"errors\":[{\"code\":10000,\"message\":\"Authentication error\"}],\"messages\":[],\"result\":null}"},
        {400, ACCESS, "access_denied", "{\"message\":\"invalid api token\"}"},
        {400, ACCESS, "access_denied", MESSAGE("\xe6\x97\xa0\xe6\x95\x88\xe7\x9a\x84\xe4\xbb\xa4\xe7\x89\x8c (request id: 2024)")}, /* invalid token */
        {400, ACCESS, "access_denied", INVALID("Your account has been suspended. Contact support.")},
        {400, ACCESS, "access_denied", INVALID("You are not authorized to use this service")},
        {400, ACCESS, "access_denied", INVALID("Your IP address 10.0.0.1 is not in the allowlist")},
        {500, ACCESS, "access_denied", MESSAGE("upstream: Invalid API key")},
        {400, ACCESS, NULL, "{\"__type\":\"com.amazon.coral.service#ExpiredTokenException\",\"type\":\"ExpiredTokenException\",\"message\":\"The security token included in the request is expired\"}"},
        {400, ACCESS, NULL, MESSAGE("litellm.AuthenticationError: AuthenticationError: OpenAIException - Incorrect API key provided")},
        {400, ACCESS, "access_denied", "{\"error\":{\"message\":\"Your organization must be verified to stream this model.\",\"type\":\"invalid_request_error\",\"param\":\"stream\",\"code\":\"unsupported_value\"}}"},
        {403, ACCESS, NULL, "<!DOCTYPE html><html><title>Attention Required! | Cloudflare</title>flagged, sexual, insufficient balance</html>"},
    };
    EXPECT_ROWS(rows);
}

Test(refusal, about_money_is_billing_whatever_its_status)
{
    static const struct row rows[] = {
        {429, BILLING, "insufficient_quota", "{\"error\":{\"message\":\"You exceeded your current quota, please check your plan and billing details.\",\"type\":\"insufficient_quota\",\"param\":null,\"code\":\"insufficient_quota\"}}"},
        {429, BILLING, "insufficient_quota", "{\"error\":{\"message\":\"You exceeded your current quota\",\"type\":\"insufficient_quota\",\"param\":null,\"code\":null}}"},
        {429, BILLING, "billing_error", MESSAGE("You exceeded your current quota, please check your plan and billing details.")},
        {400, BILLING, "billing_error", ANTHROPIC("invalid_request_error", "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.")},
        {403, BILLING, "billing_error", ANTHROPIC("billing_error", "no")},
        {402, BILLING, NULL, "{\"error\":{\"message\":\"Insufficient Balance\",\"type\":\"unknown_error\",\"param\":null,\"code\":\"invalid_request_error\"}}"},
        {402, BILLING, NULL, "{\"error\":{\"message\":\"This request requires more credits, or fewer max_tokens. You requested up to 64000 tokens, but can only afford 2666.\",\"code\":402,\"metadata\":{\"provider_name\":null}}}"},
        {0, BILLING, "billing_error", "{\"error\":{\"message\":\"This request requires more credits, or fewer max_tokens. You requested up to 64000 tokens, but can only afford 2666.\",\"code\":400}}"},
        {402, BILLING, "http_402", ""},
        {400, BILLING, "Arrearage", "{\"error\":{\"code\":\"Arrearage\",\"param\":null,\"message\":\"Access denied, please make sure your account is in good standing.\",\"type\":\"Arrearage\"},\"request_id\":\"1\"}"},
        {400, BILLING, "billing_error", "{\"error\":{\"message\":\"Access denied, please make sure your account is in good standing.\",\"code\":\"400\"}}"},
        {403, BILLING, "AllocationQuota.FreeTierOnly", "{\"error\":{\"code\":\"AllocationQuota.FreeTierOnly\",\"message\":\"The free tier of the model has been exhausted.\"}}"},
        {403, BILLING, "AccountOverdueError", "{\"error\":{\"code\":\"AccountOverdueError\",\"message\":\"The request failed because your account has an overdue balance. Request ID: 1\",\"param\":\"\",\"type\":\"Forbidden\"}}"},
        {429, BILLING, "1113", "{\"error\":{\"code\":\"1113\",\"message\":\"\xe4\xbd\x99\xe9\xa2\x9d\xe4\xb8\x8d\xe8\xb6\xb3\xe6\x88\x96\xe6\x97\xa0\xe5\x8f\xaf\xe7\x94\xa8\xe8\xb5\x84\xe6\xba\x90\xe5\x8c\x85,\xe8\xaf\xb7\xe5\x85\x85\xe5\x80\xbc\xe3\x80\x82\"}}"},
        {429, BILLING, "1113", "{\"type\":\"error\",\"error\":{\"type\":\"1113\",\"message\":\"Insufficient balance or no resource package. Please recharge.\"}}"},
        {429, BILLING, "billing_error", MESSAGE("Insufficient balance or no resource package. Please recharge.")},
        {500, BILLING, "billing_error", ANTHROPIC("api_error", "insufficient balance (1008)")},
        {429, BILLING, "insufficient_balance_error", "{\"error\":{\"http_code\":\"429\",\"message\":\"insufficient balance (1008)\",\"type\":\"insufficient_balance_error\"},\"request_id\":\"x\"}"},
        {0, BILLING, "1008", MINIMAX("1008", "insufficient balance")},
        {403, BILLING, "exceeded_current_quota_error", "{\"error\":{\"message\":\"Your account x is not active, organization o exceeded current quota, please check your plan and billing details\",\"type\":\"exceeded_current_quota_error\"}}"},
        {403, BILLING, "insufficient_user_quota", "{\"error\":{\"message\":\"user quota is not enough (request id: 1)\",\"type\":\"one_api_error\",\"param\":\"\",\"code\":\"insufficient_user_quota\"}}"},
        {403, BILLING, "pre_consume_token_quota_failed", "{\"error\":{\"message\":\"token quota is not enough, token remain quota: 1, need quota: 2\",\"type\":\"new_api_error\",\"code\":\"pre_consume_token_quota_failed\"}}"},
        {400, BILLING, "budget_exceeded", "{\"error\":{\"message\":\"Budget has been exceeded! Current cost: 10.51, Max budget: 10.00\",\"type\":\"budget_exceeded\",\"param\":null,\"code\":\"400\"}}"},
        {429, BILLING, "budget_exceeded", "{\"error\":{\"message\":\"Budget has been exceeded! Key=e7fb Current cost: 0.0, Max budget: 2.5\",\"type\":\"budget_exceeded\",\"param\":null,\"code\":\"429\"}}"},
        {400, BILLING, "billing_error", "{\"error\":{\"message\":\"litellm.BadRequestError: OpenAIException - Budget has been exceeded! Current cost: 14.1, Max budget: 10. Received Model Group=m\",\"type\":null,\"param\":null,\"code\":\"400\"}}"},
        {400, BILLING, "ExceededBudget", "{\"error\":{\"message\":\"ExceededBudget: End User=i over budget. Spend=0.00088, Budget=0.0001\",\"type\":\"auth_error\",\"param\":\"None\",\"code\":400}}"},
        {403, BILLING, "INSUFFICIENT_BALANCE", "{\"code\":\"INSUFFICIENT_BALANCE\",\"message\":\"Insufficient account balance\"}"},
        {403, BILLING, "30001", "{\"code\":30001,\"message\":\"Sorry, your account balance is insufficient\",\"data\":null}"},
        {403, BILLING, "billing_error", "{\"error\":{\"message\":\"your subscription payment is past due. update your payment method: https://x/billing\",\"type\":\"api_error\"}}"},
        {412, BILLING, "billing_error", MESSAGE("Account is suspended due to reaching the monthly spending limit or unpaid invoices")},
        {429, BILLING, "INSUFFICIENT_G1_CREDITS_BALANCE", "{\"error\":{\"code\":429,\"message\":\"Resource has been exhausted (e.g. check quota).\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\":[{\"@type\":\"t\",\"reason\":\"INSUFFICIENT_G1_CREDITS_BALANCE\"}]}}"},
        {400, BILLING, "billing_error", ANTHROPIC("invalid_request_error", "You have reached your specified API usage limits. You will regain access on 2026-01-01.")},
        {403, BILLING, "billing_error", MESSAGE("Your team has either used all available credits or reached its monthly spending limit.")},
        {500, BILLING, "billing_error", MESSAGE("\xe7\x94\xa8\xe6\x88\xb7\xe9\xa2\x9d\xe5\xba\xa6\xe4\xb8\x8d\xe8\xb6\xb3")},
    };
    EXPECT_ROWS(rows);
}

Test(refusal, about_a_model_is_the_providers)
{
    static const struct row rows[] = {
        {404, MODEL, "model_not_found", "{\"error\":{\"message\":\"The model `gpt-9` does not exist or you do not have access to it.\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"model_not_found\"}}"},
        {400, MODEL, "model_not_found", INVALID("The model `x` does not exist")},
        {400, MODEL, "model_not_found", "{\"error\":{\"message\":\"Model Not Exist\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"invalid_request_error\"}}"},
        {400, MODEL, "invalid_model", "{\"object\":\"error\",\"message\":\"Invalid model: mistral-x\",\"type\":\"invalid_model\",\"param\":null,\"code\":\"1500\"}"},
        {400, MODEL, "model_not_available", "{\"id\":\"o\",\"error\":{\"message\":\"Unable to access non-serverless model M. Please visit https://api.together.ai/models/M to create and start a new dedicated endpoint for the model.\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"model_not_available\"}}"},
        {400, MODEL, "model_not_found", MESSAGE("together-ai error: Unable to access non-serverless model M.")},
        {400, MODEL, "dedicated_endpoint_not_running", "{\"error\":{\"message\":\"The dedicated endpoint for M is not running.\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"dedicated_endpoint_not_running\"}}"},
        {404, MODEL, "DeploymentNotFound", "{\"error\":{\"code\":\"DeploymentNotFound\",\"message\":\"The API deployment for this resource does not exist.\"}}"},
        {400, MODEL, "1211", "{\"error\":{\"code\":\"1211\",\"message\":\"\xe6\xa8\xa1\xe5\x9e\x8b\xe4\xb8\x8d\xe5\xad\x98\xe5\x9c\xa8\"}}"},
        {404, MODEL, "InvalidEndpointOrModel.NotFound", "{\"error\":{\"code\":\"InvalidEndpointOrModel.NotFound\",\"message\":\"The model or endpoint x does not exist or you do not have access to it.\",\"type\":\"NotFound\"}}"},
        {400, MODEL, "InvalidEndpoint.ClosedEndpoint", "{\"error\":{\"code\":\"InvalidEndpoint.ClosedEndpoint\",\"message\":\"The request targeted an endpoint that is currently closed or temporarily unavailable.\",\"type\":\"BadRequest\"}}"},
        {404, MODEL, NULL, ANTHROPIC("not_found_error", "model: claude-x")},
        {400, MODEL, "model_not_found", MESSAGE("No endpoints found for x/y.")},
        {400, MODEL, "model_not_found", MESSAGE("x/y is not a valid model ID")},
        {503, MODEL, "model_not_found", "{\"error\":{\"code\":\"model_not_found\",\"message\":\"No available channel for model x under group default (distributor)\",\"type\":\"new_api_error\"}}"},
        {404, MODEL, NULL, "{\"error\":{\"message\":\"model \\\"llama9\\\" not found, try pulling it first\",\"type\":\"api_error\",\"param\":null,\"code\":null}}"},
        {400, MODEL, "model_not_found", "{\"error\":\"model 'llama9' not found, try pulling it first\"}"},
        {400, MODEL, "model_not_found", "{\"error\":{\"message\":\"Failed to load model \\\"gpt-oss-20b\\\". Error: Error loading model.\"}}"},
        {400, MODEL, "model_not_found", "{\"error\":\"No models loaded. Please load a model in the developer page or use the 'lms load' command.\"}"},
        {400, MODEL, "model_not_found", "{\"message\":\"Invocation of model ID x with on-demand throughput isn\xe2\x80\x99t supported. Retry your request with the ID or ARN of an inference profile that contains this model.\"}"},
        {403, MODEL, "model_not_found", "{\"message\":\"You don't have access to the model with the specified model ID.\"}"},
        {400, MODEL, "model_not_found", "{\"message\":\"The provided model identifier is invalid.\"}"},
        {400, MODEL, "model_not_supported", "{\"error\":{\"message\":\"The requested model is not supported.\",\"code\":\"model_not_supported\",\"param\":\"model\",\"type\":\"invalid_request_error\"}}"},
        {400, MODEL, "model_decommissioned", "{\"error\":{\"message\":\"The model `x` has been decommissioned and is no longer supported.\",\"type\":\"invalid_request_error\",\"code\":\"model_decommissioned\"}}"},
        {400, MODEL, "20012", "{\"code\":20012,\"message\":\"Model does not exist. Please check it carefully.\",\"data\":null}"},
        {400, MODEL, "5007", "{\"errors\":[{\"message\":\"AiError: No such model @cf/x or task\",\"code\":5007}],\"success\":false,\"result\":{},\"messages\":[]}"},
        {410, MODEL, NULL, MESSAGE("gone")},
        {404, MODEL, "resource_not_found_error", "{\"error\":{\"message\":\"Not found the model x or Permission denied\",\"type\":\"resource_not_found_error\"}}"},
        {404, MODEL, NULL, "{\"object\":\"error\",\"message\":\"The model `x` does not exist.\",\"type\":\"NotFoundError\",\"param\":null,\"code\":404}"},
        {400, MODEL, NULL, "{\"error\":{\"message\":\"litellm.BadRequestError: LLM Provider NOT provided. \",\"code\":\"404\"}}"},
    };
    EXPECT_ROWS(rows);
}

Test(refusal, about_length_needs_a_word_for_it_and_a_size_or_a_limit)
{
    static const struct row rows[] = {
        {400, TOO_LONG, "context_length_exceeded", "{\"error\":{\"message\":\"This model's maximum context length is 4097 tokens. However, you requested 4120 tokens (3120 in the messages, 1000 in the completion). Please reduce the length of the messages or completion.\",\"type\":\"invalid_request_error\",\"param\":\"messages\",\"code\":\"context_length_exceeded\"}}"},
        {400, TOO_LONG, "context_length_exceeded", MESSAGE("input is 40000 tokens, the model takes 32768")},
        {400, TOO_LONG, NULL, MESSAGE("prompt of 140000 over the limit of 128000")},
        {400, TOO_LONG, NULL, MESSAGE("range of input length should be [1, 129024]")},
        {400, TOO_LONG, NULL, "{\"error\":{\"code\":\"invalid_parameter_error\",\"param\":null,\"message\":\"<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 98304]\",\"type\":\"invalid_request_error\"}}"},
        {413, TOO_LONG, NULL, "{\"error\":{\"code\":\"tokens_limit_reached\",\"message\":\"Request body too large for gpt-4o model. Max size: 8000 tokens.\",\"details\":\"Request body too large for gpt-4o model. Max size: 8000 tokens.\"}}"},
        {400, TOO_LONG, NULL, ANTHROPIC("invalid_request_error", "prompt is too long: 213462 tokens > 200000 maximum")},
        {400, TOO_LONG, NULL, ANTHROPIC("invalid_request_error", "input length and `max_tokens` exceed context limit: 196395 + 64000 > 204698, decrease input length or `max_tokens` and try again")},
        {413, TOO_LONG, NULL, ANTHROPIC("request_too_large", "Request exceeds the maximum size")},
        {400, TOO_LONG, NULL, MESSAGE("Your input exceeds the context window of this model. Please adjust your input and try again.")},
        {400, TOO_LONG, NULL, GOOGLE("400", "INVALID_ARGUMENT", "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).", "")},
        {400, TOO_LONG, NULL, GOOGLE("400", "INVALID_ARGUMENT", "The input token count exceeds the maximum number of tokens allowed 1048576.", "")},
        {400, TOO_LONG, NULL, "{\"code\":\"Client specified an invalid argument\",\"error\":\"This model's maximum prompt length is 131072 but the request contains 537812 tokens.\"}"},
        {400, TOO_LONG, NULL, INVALID("Please reduce the length of the messages or completion.")},
        {400, TOO_LONG, NULL, "{\"message\":\"Please reduce the length of the messages or completion. Current length is 42328 while limit is 40000\",\"type\":\"invalid_request_error\",\"param\":\"messages\",\"code\":\"context_length_exceeded\"}"},
        {400, TOO_LONG, NULL, "{\"error\":{\"message\":\"This endpoint's maximum context length is 8192 tokens. However, you requested about 9000 tokens\",\"code\":400}}"},
        {400, TOO_LONG, NULL, "{\"error\":{\"message\":\"Input length 877338 exceeds the maximum allowed input length of 639968 tokens\",\"code\":\"400\"}}"},
        {400, TOO_LONG, NULL, MESSAGE("Input length (265330) exceeds model's maximum context length (262144).")},
        {400, TOO_LONG, NULL, "{\"object\":\"error\",\"message\":\"The input (61709 tokens) is longer than the model's context length (40960 tokens).\",\"type\":\"BadRequestError\",\"param\":null,\"code\":400}"},
        {400, TOO_LONG, NULL, "{\"error\":{\"message\":\"prompt token count of 93854 exceeds the limit of 90000\",\"param\":\"\",\"code\":\"\",\"type\":\"\"}}"},
        {400, TOO_LONG, NULL, "{\"error\":{\"message\":\"prompt token count of 13067 exceeds the limit of 12288\",\"code\":\"model_max_prompt_tokens_exceeded\"}}"},
        {400, TOO_LONG, NULL, "{\"error\":{\"code\":400,\"message\":\"request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it\",\"type\":\"exceed_context_size_error\",\"n_prompt_tokens\":5000,\"n_ctx\":4096}}"},
        {400, TOO_LONG, NULL, "{\"error\":\"Trying to keep the first 15857 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens\"}"},
        {400, TOO_LONG, NULL, MESSAGE("The number of tokens to keep from the initial prompt is greater than the context length.")},
        {0, TOO_LONG, NULL, MINIMAX("2013", "invalid params, context window exceeds limit")},
        {0, TOO_LONG, NULL, MINIMAX("1039", "token limit")},
        {400, TOO_LONG, NULL, "{\"error\":{\"message\":\"Invalid request: Your request exceeded model token limit: 262144 (requested: 269030)\",\"type\":\"invalid_request_error\"}}"},
        {400, TOO_LONG, NULL, "{\"object\":\"error\",\"message\":\"Prompt contains 66385 tokens and 0 draft tokens, too large for model with 32768 maximum context length\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"3051\"}"},
        {400, TOO_LONG, NULL, "{\"message\":\"Input is too long for requested model.\"}"},
        {400, TOO_LONG, NULL, "{\"message\":\"ValidationException: Input exceeds the max input token limit\"}"},
        {400, TOO_LONG, NULL, "{\"code\":20015,\"message\":\"number of input tokens (83121) have exceeded max_prompt_tokens (65536) limit.\",\"data\":null}"},
        {400, TOO_LONG, NULL, "{\"error\":{\"code\":\"tokens_too_long\",\"message\":\"Prompt tokens too long\",\"type\":\"invalid_request_error\"}}"},
        {400, TOO_LONG, NULL, "{\"error\":{\"code\":\"characters_too_long\",\"message\":\"the max input characters is 24000\",\"type\":\"invalid_request_error\"}}"},
        {400, TOO_LONG, NULL, "{\"message\":\"too many tokens: size limit exceeded by 19296 tokens. Try using shorter or fewer inputs. The limit for this model is 132000 tokens.\"}"},
        {400, TOO_LONG, NULL, MESSAGE("The total length of all messages is too long.")},
        {403, TOO_LONG, NULL, MESSAGE("Input token count + max_tokens parameter must be less than the context length of the model being queried.")},
        {422, TOO_LONG, NULL, "{\"error\":\"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens and 20 `max_new_tokens`\",\"error_type\":\"validation\"}"},
        {422, TOO_LONG, NULL, "{\"error\":\"Input validation error: `inputs` must have less than 1024 tokens. Given: 2000\",\"error_type\":\"validation\"}"},
        {400, TOO_LONG, NULL, "{\"error\":{\"message\":\"litellm.ContextWindowExceededError: litellm.BadRequestError: Context Window exceeded for given call. No models have context window large enough for this call.\",\"type\":null,\"param\":null,\"code\":\"400\"}}"},
        {400, TOO_LONG, NULL, "{\"error\":{\"message\":\"Provider returned error\",\"code\":400,\"metadata\":{\"raw\":\"{\\\"object\\\":\\\"error\\\",\\\"message\\\":\\\"This model's maximum context length is 262144 tokens. However, you requested 0 output tokens and your prompt contains at least 262145 input tokens\\\"}\",\"provider_name\":\"x\"}}}"},
        {400, TOO_LONG, NULL, "{\"error\":{\"message\":\"Invalid 'messages[0].content': string too long. Expected a string with maximum length 1048576, but got a string with length 1200000 instead.\",\"type\":\"invalid_request_error\",\"param\":\"messages[0].content\",\"code\":\"string_above_max_length\"}}"},
        {400, TOO_LONG, NULL, "{\"error\":{\"code\":\"1261\",\"message\":\"Prompt exceeds max length\"}}"},
        {400, TOO_LONG, NULL, MESSAGE("\xe8\xbe\x93\xe5\x85\xa5\xe9\x95\xbf\xe5\xba\xa6\xe8\xb6\x85\xe8\xbf\x87\xe6\xa8\xa1\xe5\x9e\x8b\xe6\x9c\x80\xe5\xa4\xa7\xe9\x99\x90\xe5\x88\xb6")},
        {400, TOO_LONG, NULL, MESSAGE("The conversation has 131,073 tokens; 131,072 are allowed")},
        {500, TOO_LONG, NULL, MESSAGE("the prompt is too long: 9000 tokens exceed the context of 8192")},
        {413, TOO_LONG, "context_length_exceeded", ""},
        {413, TOO_LONG, NULL, "<html><head><title>413 Request Entity Too Large</title></head></html>"},
        {0, TOO_LONG, NULL, "{\"error\":{\"code\":\"context_length_exceeded\",\"message\":\"x\"}}"},
        /* A request above a minute's limit: waiting doesn't help, and no wait is given. */
        {413, TOO_LONG, NULL, "{\"error\":{\"message\":\"Request too large for model `llama` in organization `org` service tier `on_demand` on tokens per minute (TPM): Limit 6000, Requested 12328, please reduce your message size and try again. Need more tokens? Upgrade at https://console.groq.com/settings/billing\",\"type\":\"tokens\",\"code\":\"rate_limit_exceeded\"}}"},
        {429, TOO_LONG, NULL, "{\"error\":{\"message\":\"Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 342389. The input or output tokens must be reduced in order to run successfully.\",\"type\":\"tokens\",\"code\":\"rate_limit_exceeded\"}}"},
        /* The same words about something else. */
        {400, REQUEST, NULL, "{\"error\":{\"message\":\"max_tokens is too large: 100000. This model supports at most 16384 completion tokens, whereas you provided 100000.\",\"type\":\"invalid_request_error\",\"param\":\"max_tokens\",\"code\":\"invalid_value\"}}"},
        {400, REQUEST, NULL, INVALID("max_tokens must be less than or equal to 16384, the maximum value for max_tokens")},
        {400, REQUEST, NULL, "{\"message\":\"The maximum tokens you requested exceeds the model limit of 4096. Try again with a maximum tokens value that is lower than 4096.\"}"},
        {400, REQUEST, NULL, ANTHROPIC("invalid_request_error", "max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens for claude")},
        {400, REQUEST, NULL, ANTHROPIC("invalid_request_error", "messages.0.content.1.image.source.base64: image exceeds 5 MB maximum: 6000000 bytes > 5242880 bytes")},
        {400, REQUEST, NULL, "{\"error\":{\"message\":\"Invalid 'messages[2].tool_call_id': string too long. Expected a string with maximum length 400, but got a string with length 500 instead.\",\"param\":\"messages[2].tool_call_id\",\"code\":\"string_above_max_length\"}}"},
        {400, REQUEST, NULL, "{\"error\":{\"message\":\"Invalid 'tools[0].function.name': string too long. Expected a string with maximum length 640, but got a string with length 700 instead.\",\"param\":\"tools[0].function.name\"}}"},
        {400, REQUEST, NULL, INVALID("temperature must be at most 2")},
        {500, SERVER, NULL, MESSAGE("maximum context length")},
        {400, ACCESS, NULL, MESSAGE("Invalid API key provided: the length of a token must be 512 characters at most")},
    };
    EXPECT_ROWS(rows);
}

Test(refusal, about_a_rate_is_waited_for_whatever_its_status)
{
    static const struct row rows[] = {
        {429, RATE, "rate_limit_exceeded", "{\"error\":{\"message\":\"Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Used 29000, Requested 3000. Please try again in 4.77s.\",\"type\":\"tokens\",\"param\":null,\"code\":\"rate_limit_exceeded\"}}"},
        {413, RATE, "rate_limit_exceeded", "{\"error\":{\"code\":\"rate_limit_exceeded\",\"type\":\"tokens\"}}"},
        {400, RATE, "rate_limit_error", ANTHROPIC("rate_limit_error", "This request would exceed your organization's rate limit")},
        {429, RATE, "RESOURCE_EXHAUSTED", GOOGLE("429", "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).", "")},
        {0, RATE, "RESOURCE_EXHAUSTED", "[{\"error\":{\"code\":429,\"status\":\"RESOURCE_EXHAUSTED\",\"message\":\"Resource has been exhausted (e.g. check quota).\"}}]"},
        {0, RATE, "RESOURCE_EXHAUSTED", "{\"error\":{\"status\":\"RESOURCE_EXHAUSTED\",\"message\":\"Resource has been exhausted (e.g. check quota).\"}}"},
        {429, RATE, NULL, GOOGLE("429", "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan and billing details. \\n* Quota exceeded for metric: generate_content_free_tier_requests, limit: 20\\nPlease retry in 37.82626638s.", "{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"37s\"}")},
        {429, RATE, NULL, "{\"error\":{\"code\":\"429\",\"message\":\"Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-05-01-preview have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 20 seconds.\"}}"},
        {429, RATE, "rate_limited", "{\"object\":\"error\",\"message\":\"Rate limit exceeded\",\"type\":\"rate_limited\",\"param\":null,\"code\":\"1300\",\"raw_status_code\":429}"},
        {429, RATE, NULL, "{\"error\":{\"message\":\"Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day\",\"code\":429,\"metadata\":{\"headers\":{\"X-RateLimit-Limit\":\"50\",\"X-RateLimit-Remaining\":\"0\",\"X-RateLimit-Reset\":\"1741305600000\"}}}}"},
        {429, RATE, "rate_limit_reached_error", "{\"error\":{\"message\":\"Your account x request reached max organization concurrency: 1, please try again after 1 seconds\",\"type\":\"rate_limit_reached_error\"}}"},
        {429, RATE, "engine_overloaded_error", "{\"error\":{\"message\":\"The engine is currently overloaded, please try again later\",\"type\":\"engine_overloaded_error\"}}"},
        {429, RATE, "1302", "{\"error\":{\"code\":\"1302\",\"message\":\"\xe6\x82\xa8\xe7\x9a\x84\xe8\xb4\xa6\xe6\x88\xb7\xe5\xb7\xb2\xe8\xbe\xbe\xe5\x88\xb0\xe9\x80\x9f\xe7\x8e\x87\xe9\x99\x90\xe5\x88\xb6\"}}"},
        {429, RATE, NULL, "{\"error\":{\"code\":\"1308\",\"message\":\"Usage limit reached for 5 hour. Your limit will reset at 2026-08-27 21:31:39\"}}"},
        {429, RATE, "Throttling.RateQuota", "{\"code\":\"Throttling.RateQuota\",\"message\":\"Requests rate limit exceeded, please try again later.\"}"},
        {429, RATE, "insufficient_quota", "{\"error\":{\"message\":\"Allocated quota exceeded, please increase your quota limit.\",\"type\":\"insufficient_quota\",\"code\":\"insufficient_quota\"}}"},
        {400, RATE, "rate_limit_exceeded", MESSAGE("Too many requests, slow down")},
        {400, RATE, "ThrottlingException", "{\"type\":\"ThrottlingException\",\"message\":\"Too many tokens, please wait before trying again.\"}"},
        {429, RATE, NULL, "{\"message\":\"Too many tokens, please wait before trying again.\"}"},
        {0, RATE, "1002", MINIMAX("1002", "rate limit")},
        {429, RATE, NULL, "{\"error\":{\"message\":\"litellm.RateLimitError: AzureException RateLimitError - Error code: 429 - {'error': {'code': '429', 'message': 'Please retry after 86400 seconds.'}}\",\"type\":\"throttling_error\",\"param\":null,\"code\":\"429\"}}"},
        {400, RATE, NULL, "{\"error\":{\"message\":\"Provider returned error\",\"code\":429,\"metadata\":{\"raw\":\"z-ai/glm is temporarily rate-limited upstream. Please retry shortly\",\"provider_name\":\"BaseTen\"}}}"},
        {500, RATE, "rate_limit_exceeded", "{\"error\":{\"code\":\"rate_limit_exceeded\"}}"},
        {429, RATE, NULL, "{\"message\":\"You are using a Trial key, which is limited to 20 API calls / minute. You can continue to use the Trial key for free or upgrade to a Production key at https://x/billing\"}"},
        {429, RATE, "http_429", ""},
        {429, RATE, NULL, "{\"detail\":\"You've reached our limit of messages per hour. Please try again later.\"}"},
    };
    EXPECT_ROWS(rows);
}

Test(refusal, about_load_and_failures_is_tried_again)
{
    static const struct row rows[] = {
        {529, OVERLOAD, "overloaded_error", ANTHROPIC("overloaded_error", "Overloaded")},
        {0, OVERLOAD, "overloaded_error", ANTHROPIC("overloaded_error", "Overloaded")},
        {503, OVERLOAD, "unavailable_error", "{\"error\":{\"code\":503,\"message\":\"Loading model\",\"type\":\"unavailable_error\"}}"},
        {503, OVERLOAD, NULL, "{\"object\":\"error\",\"message\":\"Service tier capacity exceeded for this model.\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}"},
        {0, OVERLOAD, NULL, "{\"error\":{\"code\":503,\"message\":\"no healthy upstream\"}}"},
        {0, OVERLOAD, NULL, MESSAGE("The server is overloaded")},
        {429, RATE, NULL, GOOGLE("429", "RESOURCE_EXHAUSTED", "No capacity available for model x on the server", "{\"reason\":\"MODEL_CAPACITY_EXHAUSTED\"}")},
        {503, OVERLOAD, "MODEL_CAPACITY_EXHAUSTED", GOOGLE("503", "UNAVAILABLE", "No capacity available for model on the server", "{\"reason\":\"MODEL_CAPACITY_EXHAUSTED\"}")},
        {500, SERVER, "server_error", "{\"error\":{\"message\":\"The server had an error while processing your request\",\"type\":\"server_error\",\"param\":null,\"code\":null}}"},
        {500, SERVER, "INTERNAL", GOOGLE("500", "INTERNAL", "An internal error has occurred. Please retry", "")},
        {500, SERVER, "api_error", ANTHROPIC("api_error", "Internal server error")},
        {502, SERVER, NULL, "{\"error\":{\"code\":502,\"message\":\"Network connection lost.\"}}"},
        {0, SERVER, "http_502", "{\"error\":{\"code\":502,\"message\":\"Network connection lost.\"}}"},
        {0, SERVER, "http_500", "{\"error\":\"boom\"}"},
        {0, SERVER, "1000", MINIMAX("1000", "unknown error")},
        {424, SERVER, "generation", "{\"error\":\"Request failed during generation: boom\",\"error_type\":\"generation\"}"},
        {500, SERVER, NULL, "{\"error\":\"model requires more system memory (7.5 GiB) than is available (6.0 GiB)\"}"},
        {502, SERVER, NULL, "<html>bad gateway</html>"},
        {504, TIMEOUT, NULL, ""},
        {0, TIMEOUT, "timeout_error", ANTHROPIC("timeout_error", "The request timed out")},
        {408, TIMEOUT, NULL, MESSAGE("Your request timed out")},
    };
    EXPECT_ROWS(rows);
}

Test(refusal, about_what_the_prompt_says_is_its_content)
{
    static const struct row rows[] = {
        {400, CONTENT, "content_filter", "{\"error\":{\"message\":\"The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify your prompt and retry.\",\"type\":null,\"param\":\"prompt\",\"code\":\"content_filter\",\"status\":400,\"innererror\":{\"code\":\"ResponsibleAIPolicyViolation\",\"content_filter_result\":{\"violence\":{\"filtered\":true,\"severity\":\"medium\"}}}}}"},
        {400, CONTENT, NULL, "{\"error\":{\"message\":\"litellm.BadRequestError: litellm.ContentPolicyViolationError: AzureException - The response was filtered\",\"type\":null,\"param\":null,\"code\":\"400\",\"provider_specific_fields\":{\"innererror\":{\"code\":\"ResponsibleAIPolicyViolation\",\"content_filter_result\":{}}}}}"},
        {400, CONTENT, NULL, "{\"error\":{\"code\":\"data_inspection_failed\",\"param\":null,\"message\":\"Input data may contain inappropriate content.\",\"type\":\"data_inspection_failed\"},\"id\":\"c\",\"request_id\":\"d\"}"},
        {400, CONTENT, NULL, MESSAGE("<400> InternalError.Algo.DataInspectionFailed: Input text data may contain inappropriate content.")},
        {400, CONTENT, NULL, "{\"error\":{\"code\":400,\"message\":\"The request was rejected because it was considered high risk\",\"param\":\"prompt\",\"type\":\"content_filter\"}}"},
        {400, CONTENT, NULL, "{\"error\":{\"message\":\"Invalid prompt: your prompt was flagged as potentially violating our usage policy.\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"invalid_prompt\"}}"},
        {403, CONTENT, NULL, "{\"error\":{\"message\":\"x requires moderation on y. Your input was flagged for \\\"violence\\\". No credits were charged.\",\"code\":403,\"metadata\":{\"reasons\":[\"violence\"],\"flagged_input\":\"my api key\",\"provider_name\":\"y\"}}}"},
        {403, CONTENT, NULL, "{\"code\":\"The caller does not have permission to execute the specified operation\",\"error\":\"Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO\"}"},
        {400, CONTENT, NULL, "{\"error\":{\"code\":\"InputTextRiskDetection\",\"message\":\"The request could not be processed because the input text includes sensitive content\",\"type\":\"BadRequest\"}}"},
        {400, CONTENT, NULL, "{\"error\":{\"code\":\"SensitiveContentDetected.SevereViolation\",\"message\":\"x\",\"type\":\"BadRequest\"}}"},
        {400, CONTENT, NULL, "{\"error\":{\"code\":\"1301\",\"message\":\"\xe7\xb3\xbb\xe7\xbb\x9f\xe6\xa3\x80\xe6\xb5\x8b\xe5\x88\xb0\xe8\xbe\x93\xe5\x85\xa5\xe6\x88\x96\xe7\x94\x9f\xe6\x88\x90\xe5\x86\x85\xe5\xae\xb9\xe5\x8f\xaf\xe8\x83\xbd\xe5\x8c\x85\xe5\x90\xab\xe4\xb8\x8d\xe5\xae\x89\xe5\x85\xa8\xe6\x88\x96\xe6\x95\x8f\xe6\x84\x9f\xe5\x86\x85\xe5\xae\xb9\"}}"},
        {0, CONTENT, NULL, MINIMAX("1026", "input new_sensitive")},
        {0, CONTENT, NULL, MINIMAX("1027", "output new_sensitive")},
        {400, CONTENT, NULL, "{\"error\":{\"code\":\"sensitive_words_detected\",\"message\":\"user sensitive words detected\",\"type\":\"new_api_error\"}}"},
        {424, CONTENT, NULL, "{\"success\":false,\"result\":[],\"messages\":[],\"error\":[{\"code\":2016,\"message\":\"Prompt blocked due to security configurations\"}]}"},
        {400, CONTENT, NULL, GOOGLE("400", "INVALID_ARGUMENT", "Request was blocked by Gemini: PROHIBITED_CONTENT", "")},
        {498, CONTENT, NULL, "{\"message\":\"invalid request: prompt was blocked because it violates our usage guidelines\"}"},
        {400, CONTENT, NULL, "{\"error\":{\"type\":\"unsafe_request\",\"code\":\"image_url_unsafe\",\"message\":\"the content of image_url.url is unsafe\"}}"},
        {400, CONTENT, NULL, MESSAGE("Your request was rejected by our safety system")},
        {400, CONTENT, NULL, MESSAGE("Guardrail violation: prompt injection detected")},
        {500, CONTENT, NULL, "{\"error\":{\"code\":\"content_filter\"}}"},
        {0, CONTENT, NULL, "{\"choices\":[],\"promptFeedback\":{\"blockReason\":\"PROHIBITED_CONTENT\"}}"},
        {0, CONTENT, NULL, MESSAGE("Your generation was blocked due to the model provider's content policies.")},
        {400, REQUEST, NULL, MESSAGE("unknown parameter: moderation")},
        {500, SERVER, NULL, MESSAGE("the moderation service has failed, flagged for review")},
        {403, ACCESS, NULL, MESSAGE("Your account was flagged and is suspended")},
        {404, MODEL, NULL, MESSAGE("No endpoints found matching your data policy")},
    };
    EXPECT_ROWS(rows);
}

Test(refusal, that_nobody_knows_is_the_requests)
{
    static const struct row rows[] = {
        {400, REQUEST, "http_400", ""},
        {400, REQUEST, "http_400", "{\"error\":{\"code\":400,\"message\":\"400\"}}"},
        {400, REQUEST, "http_400", "{\"error\":{\"code\":\"400\",\"message\":\"E\"}}"},
        {400, REQUEST, "E1001", "{\"error\":{\"code\":\"E1001\",\"type\":\"invalid_request_error\",\"message\":\"messages[2].content is malformed\"}}"},
        {400, REQUEST, "BadRequestError", "{\"object\":\"error\",\"message\":\"no\",\"type\":\"BadRequestError\",\"code\":400}"},
        {400, REQUEST, NULL, "{\"error\":{\"message\":\"registry.ollama.ai/library/qwen:4b does not support tools\",\"type\":\"api_error\",\"param\":null,\"code\":null}}"},
        {400, REQUEST, NULL, "{\"error\":{\"message\":\"deepseek-reasoner does not support the parameter `presence_penalty`\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"invalid_request_error\"}}"},
        {400, REQUEST, NULL, "{\"error\":{\"message\":\"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.\",\"type\":\"invalid_request_error\",\"param\":\"max_tokens\",\"code\":\"unsupported_parameter\"}}"},
        {400, REQUEST, NULL, INVALID("The `reasoning_content` in the thinking mode must be passed back to the API.")},
        {400, REQUEST, NULL, INVALID("invalid temperature: only 1 is allowed for this model")},
        {400, REQUEST, NULL, INVALID("messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.")},
        {400, REQUEST, NULL, ANTHROPIC("invalid_request_error", "messages: text content blocks must be non-empty")},
        {400, REQUEST, NULL, GOOGLE("400", "INVALID_ARGUMENT", "Function calling is not enabled for models/gemma-3-27b-it", "")},
        {422, REQUEST, NULL, "{\"detail\":[{\"loc\":[\"body\",\"temperature\"],\"msg\":\"ensure this value is less than 2\",\"type\":\"value_error\",\"input\":{\"model\":\"insufficient balance, invalid api key, flagged\"}}]}"},
        {422, REQUEST, NULL, "{\"detail\":[{\"loc\":[\"body\",\"user\"],\"msg\":\"too odd\",\"type\":\"value_error\",\"input\":\"insufficient balance\"}]}"},
        {400, REQUEST, NULL, "{\"error\":{\"message\":\"Failed to call a function. Please adjust your prompt.\",\"type\":\"invalid_request_error\",\"code\":\"tool_use_failed\",\"failed_generation\":\"your account has an insufficient balance\"}}"},
        {0, REQUEST, "invalid_request_error", "{\"error\":{\"type\":\"invalid_request_error\",\"message\":\"no\"}}"},
        {0, REQUEST, "http_400", "{\"error\":{\"code\":\"400\",\"message\":\"no\"}}"},
        {301, ACCESS, "http_301", "{\"error\":{\"code\":\"insufficient_quota\"}}"},
    };
    EXPECT_ROWS(rows);
}

/* tests/unit/refusals.tsv */
Test(refusal, of_the_list_means_what_the_list_says)
{
    FILE *list = fopen(CHAT_SOURCE_DIR "/tests/unit/refusals.tsv", "r");
    AUTO_FREE char *line = NULL;
    size_t capacity = 0, count = 0;
    cr_assert_not_null(list);
    for (ssize_t size; (size = getline(&line, &capacity, list)) > 0;) {
        char *kind = strchr(line, '\t'), *body = kind != NULL ? strchr(kind + 1, '\t') : NULL;
        struct refusal refusal;
        if (line[0] == '#')
            continue;
        cr_assert_not_null(body, "%s", line);
        line[size - 1] = *kind++ = *body++ = '\0';
        refusal_read(&(struct refusal_facts){.http_status = atoi(line), .header_wait_ms = -1}, body, strlen(body), NULL, &refusal);
        cr_expect_str_eq(failure_kind_name(refusal.kind), kind, "%s %s: %s, not %s", line, body, failure_kind_name(refusal.kind), kind);
        refusal_finish(&refusal);
        count++;
    }
    fclose(list);
    cr_assert_gt(count, 150);
}

/* ---- what belongs to it ---- */

Test(refusal, waits_that_the_body_tells_are_read)
{
    static const struct {
        const char *body;
        int64_t wait_ms;
    } rows[] = {
        {"[{\"error\":{\"code\":429,\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"12s\"}]}}]", 12000},
        {"{\"error\":{\"details\":[{\"retryDelay\":{\"seconds\":7}}]}}", 7000},
        {"{\"error\":{\"details\":[{\"retryDelay\":\"34.074824224s\"}]}}", 34074},
        {MESSAGE("Please try again in 6m0s."), 360000},
        {MESSAGE("Please try again in 4.77s. Need more tokens?"), 4770},
        {MESSAGE("Please try again in 250ms."), 250},
        {MESSAGE("Please retry after 20 seconds."), 20000},
        {MESSAGE("try again after 1 seconds"), 1000},
        {MESSAGE("Please retry in 1 minute and 5 seconds"), 65000},
        {MESSAGE("Please wait 30 seconds"), 30000},
        {MESSAGE("retry after 20"), 20000},
        {"{\"error\":{\"retry_after\":3}}", 3000},
        {"{\"retry_after\":\"3.5\"}", 3500},
        {"{\"retry_after_ms\":1500}", 1500},
        {"{\"retry_after_ms\":\"1500\"}", 1500},
        {"{\"retry_after_ms\":\"1500.5\"}", 1500},
        {"{\"retry_after_ms\":\"soon\",\"message\":\"Please try again in 4.77s.\"}", 4770}, /* a text that is no number is no wait, certainly not 0 */
        {"{\"retry_after_ms\":\"-1500\"}", -1},
        {"{\"retry_after_ms\":\"99999999999999999999\"}", -1},
        {"{\"error\":{\"message\":\"{\\\"error\\\":{\\\"details\\\":[{\\\"retryDelay\\\":\\\"9s\\\"}]}}\"}}", 9000},
        {MESSAGE("\xe8\xaf\xb7\xe5\x9c\xa8 3 \xe7\xa7\x92\xe5\x90\x8e\xe9\x87\x8d\xe8\xaf\x95"), 3000},
        {MESSAGE("Too many requests, wait 12 seconds and retry"), 12000},
        {MESSAGE("You can make another request in 10 seconds"), 10000},
        {MESSAGE("Please retry your requests after 1.5 seconds."), 1500},
        {MESSAGE("Slow. Try again 10 seconds later"), 10000},
        {MESSAGE("Try your request again in 10 minutes"), 600000},
        {MESSAGE("In 5 Sekunden erneut versuchen"), 5000},
        {MESSAGE("\xe8\xaf\xb7""5\xe7\xa7\x92\xe5\x90\x8e\xe9\x87\x8d\xe8\xaf\x95"), 5000},
        {"{\"error\":{\"message\":\"x\",\"reset_after\":\"10s\"}}", 10000},
        {"{\"error\":\"loading\",\"estimated_time\":20.5}", 20500},
        {MESSAGE("60 requests in 60 seconds are allowed. Try later"), -1},
        {MESSAGE("Limit of 50 per 86400s reached, try again"), -1},
        {MESSAGE("please try again later"), -1},
        {MESSAGE("try again in a while"), -1},
        {"{\"retry_after\":-5}", -1},
        {"{\"retry_after\":1e300}", -1},
        {"", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct refusal refusal;
        refusal_read(&(struct refusal_facts){.http_status = 429, .header_wait_ms = -1}, rows[i].body, strlen(rows[i].body), NULL, &refusal);
        cr_expect_eq(refusal.wait_ms, rows[i].wait_ms, "%s: %lld", rows[i].body, (long long)refusal.wait_ms);
        refusal_finish(&refusal);
    }
    cr_expect_eq(refusal_reset_wait_ms(1741305600000, 1741305590000), 10000, "ms since 1970");
    cr_expect_eq(refusal_reset_wait_ms(1741305600, 1741305590000), 10000, "s since 1970");
    cr_expect_eq(refusal_reset_wait_ms(30, 1741305590000), 30000, "s from now");
    cr_expect_eq(refusal_reset_wait_ms(1741305600, 1741305700000), -1, "it has passed");
}

Test(refusal, a_told_wait_makes_a_rate_of_what_else_would_never_fit)
{
    static const char body[] = "{\"error\":{\"message\":\"Request too large on tokens per minute (TPM): Limit 6000, Requested 7000\",\"type\":\"tokens\",\"code\":\"rate_limit_exceeded\"}}";
    struct refusal refusal;
    refusal_read(&(struct refusal_facts){.http_status = 413, .header_wait_ms = 3000}, body, strlen(body), NULL, &refusal);
    cr_expect_eq(refusal.kind, FAILURE_RATE);
    refusal_finish(&refusal);
}

Test(refusal, of_the_request_says_whether_the_history_may_be_at_fault)
{
    static const struct {
        bool unexplained;
        const char *body;
    } rows[] = {
        {true, INVALID("E1001")},
        {false, "{\"error\":{\"message\":\"must be less\",\"param\":\"temperature\",\"code\":\"invalid_value\"}}"},
        {false, "{\"error\":{\"message\":\"isn't there\",\"param\":\"max_tokens\",\"code\":\"unsupported_parameter\"}}"},
        {true, MESSAGE("qwen:4b does not support tools")},
        {true, "{\"error\":{\"message\":\"no\",\"param\":\"messages[3].content\"}}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct refusal refusal;
        refusal_read(&(struct refusal_facts){.http_status = 400, .header_wait_ms = -1}, rows[i].body, strlen(rows[i].body), NULL, &refusal);
        cr_expect_eq(refusal.kind, FAILURE_REQUEST, "%s", rows[i].body);
        cr_expect_eq(refusal.unexplained, rows[i].unexplained, "%s", rows[i].body);
        refusal_finish(&refusal);
    }
}

/* A refusal may quote the prompt: a question about an insufficient balance mustn't close the intake for all. */
Test(refusal, words_that_may_be_the_jobs_are_told_from_the_providers)
{
    static const struct {
        int status;
        bool quoted;
        const char *body;
    } rows[] = {
        {400, true, MESSAGE("can't parse: 'why do I have an insufficient balance?'")},
        {400, true, MESSAGE("can't parse: 'insufficient_quota'")},
        {0, true, MESSAGE("insufficient balance")},
        {400, false, "{\"error\":{\"code\":\"insufficient_quota\"}}"},
        {402, false, MESSAGE("insufficient balance")},
        {429, false, MESSAGE("insufficient balance")},
        {403, false, MESSAGE("insufficient balance")},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct refusal refusal;
        refusal_read(&(struct refusal_facts){.http_status = rows[i].status, .header_wait_ms = -1}, rows[i].body, strlen(rows[i].body), NULL, &refusal);
        cr_expect_eq(refusal.kind, FAILURE_BILLING, "%s", rows[i].body);
        cr_expect_eq(refusal.may_be_quoted, rows[i].quoted, "%d %s", rows[i].status, rows[i].body);
        refusal_finish(&refusal);
    }
}

Test(refusal, the_providers_words_are_bounded_clean_and_without_secrets)
{
    static const char *const secrets[] = {"top-secret-key", "acme-team", "acme-team-9f8e7d6c", NULL};
    static const struct {
        const char *body, *message;
    } rows[] = {
        {MESSAGE("no\\nsuch\\u0000thing\\t!"), "no such thing !"},
        {MESSAGE("bad key top-secret-key, and sk-proj-abcdefghijklmnop"), "bad key ***, and ***"},
        {MESSAGE("acme-team has no acme-team-9f8e7d6c"), "*** has no ***"},
        {"{\"error\":{\"message\":\"Provider returned error\",\"code\":400,\"metadata\":{\"raw\":\"{\\\"error\\\":{\\\"message\\\":\\\"why\\\"}}\"}}}", "Provider returned error | why"},
        {MESSAGE("no nvapi-Ab3dEf6hIj9kLm2n here, nor key-value-store-limits, disk-usage-monitor-1234567, ghp_0123456789abcdef"), "no *** here, nor key-value-store-limits, disk-usage-monitor-1234567, ***"},
        {MESSAGE("bearer eyJhbGciOiJIUzI1NiJ9.e30.x_y-z and Basic dXNlcjpwYXNzd29yZDEy="), "*** and ***"},
        {"{\"error\":\"text\"}", "text"},
        {"{\"detail\":[{\"loc\":[\"body\",\"x\"],\"msg\":\"must be\",\"input\":\"the question\"}]}", "must be"},
        {"plain text", "plain text"},
        {"{\"detail\":[{\"msg\":\"must be a text\",\"input\":[\"the \\\"question", "must be a text"}, /* cut off, as the next */
        {"{\"error\":{\"code\":\"x\",\"message\":\"so it\\tis\\u00", "so it is"},
        {"\xff\xfe plain", "\xef\xbf\xbd\xef\xbf\xbd plain"},
        {"<html>page</html>", NULL},
        {"", NULL},
        {"{\"weird\":1}", "{\"weird\":1}"},
    };
    struct refusal named;
    static const char key_as_code[] = "{\"error\":{\"message\":\"no\",\"code\":\"top-secret-key\",\"type\":\"sk-abcdefghijklm\"}}";
    refusal_read(&(struct refusal_facts){.http_status = 400, .header_wait_ms = -1}, key_as_code, strlen(key_as_code), secrets, &named);
    cr_expect_str_eq(named.code, "http_400", "%s", named.code);
    refusal_finish(&named);
    char cut[1200] = "";
    memset(cut, 'x', REFUSAL_MESSAGE_BYTES_MAX - 8);
    strcat(cut, "top-secret-key");
    refusal_read(&(struct refusal_facts){.http_status = 400, .header_wait_ms = -1}, cut, strlen(cut), secrets, &named);
    cr_expect_null(strstr(named.message, "top-s"), "no part of it");
    refusal_finish(&named);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct refusal refusal;
        refusal_read(&(struct refusal_facts){.http_status = 400, .header_wait_ms = -1}, rows[i].body, strlen(rows[i].body), secrets, &refusal);
        if (rows[i].message == NULL)
            cr_expect_null(refusal.message, "%s", refusal.message);
        else
            cr_expect_str_eq(refusal.message, rows[i].message, "%s", refusal.message);
        refusal_finish(&refusal);
    }
    char body[4000] = "{\"error\":{\"message\":\"x";
    for (size_t i = strlen(body); i < 3000; i += 3)
        memcpy(body + i, "\xe2\x82\xac", 4);
    strcat(body, "\"}}");
    struct refusal refusal;
    refusal_read(&(struct refusal_facts){.http_status = 400, .header_wait_ms = -1}, body, strlen(body), secrets, &refusal);
    cr_assert_not_null(refusal.message);
    cr_expect_eq(strlen(refusal.message), 1 + 341 * 3, "cut between two characters");
    cr_expect_str_eq(refusal.message + 1 + 340 * 3, "\xe2\x82\xac");
    refusal_finish(&refusal);
}

/* The same body means the same with its status, in a 200, and in a stream in any of its forms. */
Test(refusal, in_a_stream_means_what_it_means_whole)
{
    static const char *const errors[] = {
        "{\"error\":{\"code\":\"400\",\"message\":\"no\"}}",
        "{\"error\":{\"code\":400,\"message\":\"prompt of 140000 over the limit of 128000\"}}",
        "{\"error\":{\"code\":\"429\",\"message\":\"Please try again in 3s\"}}",
        "{\"error\":{\"code\":\"insufficient_quota\"}}",
        "{\"error\":{\"code\":\"401\",\"message\":\"no\"}}",
        "{\"base_resp\":{\"status_code\":1008,\"status_msg\":\"insufficient balance\"}}",
        "[{\"error\":{\"code\":400,\"status\":\"INVALID_ARGUMENT\",\"details\":[{\"reason\":\"API_KEY_INVALID\"}]}}]",
        "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}",
    };
    static const char *const forms[] = {"data: %s\n\n", "event: error\ndata: %s\n\n", "error: %s\n\n", "%s\n\n", "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: %s\n\ndata: [DONE]\n\n"};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        struct llm_failure whole = {.retry_after_ms = -1};
        struct error why = {0};
        struct llm_answer answer = {0};
        cr_assert_eq(llm_response_decode(errors[i], strlen(errors[i]), &answer, &whole, &why), STATUS_FAILED, "%s", errors[i]);
        for (size_t f = 0; f < sizeof forms / sizeof forms[0]; f++) {
            char stream[512];
            struct stream_fold fold;
            struct sse_parser parser;
            struct llm_said said = {0};
            struct llm_failure failure = {0};
            struct error err = {0};
            stream_fold_init(&fold, 1000);
            fold.failure.said = &said;
            sse_parser_init(&parser, 1000);
            snprintf(stream, sizeof stream, forms[f], errors[i]);
            (void)!sse_parser_feed(&parser, stream, strlen(stream), stream_fold_event, &fold);
            cr_expect_eq(stream_fold_end(&fold, true, &answer, &failure, &err), STATUS_FAILED, "%s", stream);
            cr_expect_eq(failure.kind, whole.kind, "%s: %s", stream, failure_kind_name(failure.kind));
            cr_expect_eq(err.class, why.class, "%s", stream);
            cr_expect_str_eq(err.code, why.code, "%s", stream);
            cr_expect_eq(failure.retry_after_ms, whole.retry_after_ms, "%s", stream);
            free(said.message);
            stream_fold_finish(&fold);
            sse_parser_finish(&parser);
        }
    }
}

/* ---- whatever it holds ---- */

Test(refusal, whatever_comes_is_read_within_bounds)
{
    static const char alphabet[] = "{}[]\":,\\ntrue0129.eE-+ errormsgcode\xe4\xbd\x99\xff";
    for (unsigned seed = 0; seed < 20000; seed++) {
        unsigned random = seed;
        char body[300] = "{\"error\":{\"message\":\"";
        size_t size = seed % 2 == 0 ? strlen(body) : 0;
        for (size_t n = (size_t)rand_r(&random) % 250; n > 0; n--)
            body[size++] = alphabet[(size_t)rand_r(&random) % (sizeof alphabet - 1)];
        struct refusal refusal;
        refusal_read(&(struct refusal_facts){.http_status = 400 + rand_r(&random) % 200, .header_wait_ms = -1}, body, size, NULL, &refusal);
        cr_assert(refusal.kind != FAILURE_NONE && refusal.code[0] != '\0', "seed %u", seed);
        cr_assert(refusal.message == NULL || strlen(refusal.message) <= REFUSAL_MESSAGE_BYTES_MAX, "seed %u", seed);
        refusal_finish(&refusal);
    }
    char deep[5000] = "";
    for (size_t i = 0; i < 500; i++)
        strcat(deep, "{\"error\":");
    struct refusal refusal;
    refusal_read(&(struct refusal_facts){.http_status = 400, .header_wait_ms = -1}, deep, strlen(deep), NULL, &refusal);
    cr_expect_eq(refusal.kind, FAILURE_REQUEST);
    refusal_finish(&refusal);
}
