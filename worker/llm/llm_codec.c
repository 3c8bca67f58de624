#include "llm/llm_codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "chat/history.h"
#include "wire/json_text.h"
#include "wire/json_member.h"

/* ---- the request ---- */

/* What the codec itself decides. A job's params can't hold them (job_decode refuses); a provider's might. */
static bool param_is_ours(const char *name)
{
    static const char *const ours[] = {"messages", "stream", "stream_options", "n"};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (strcmp(name, ours[i]) == 0)
            return true;
    return false;
}

/* An object's members that none of the other (may be NULL) overrides, as they came, each behind a comma. */
static void put_params(FILE *out, const char *text, json_t *params, const json_t *overriding)
{
    struct json_member member = {.at = text, .end = text + strlen(text)};
    const char *name;
    json_t *value;
    json_object_foreach(params, name, value) {
        if (!json_member_next(&member))
            break;
        if (!param_is_ours(name) && json_object_get(overriding, name) == NULL)
            fprintf(out, ",\"%.*s\":%.*s", (int)member.name_size, member.name, (int)member.value_size, member.value);
    }
}

/* Appends value's text, behind a comma where something stands already. */
static void put_json(FILE *out, bool *behind, const json_t *value)
{
    if (*behind)
        fputc(',', out);
    *behind = true;
    json_dumpf(value, out, JSON_COMPACT);
}

static void put_history(FILE *out, bool *behind, const struct llm_request_parts *parts)
{
    AUTO_FREE char *spliced = history_splice(parts->turns, parts->turn_count, parts->history_bytes_max, parts->job);
    if (spliced != NULL) {
        if (spliced[0] == '\0')
            return;
        fprintf(out, "%s%s", *behind ? "," : "", spliced);
        *behind = true;
        return;
    }
    AUTO_JSON json_t *messages = json_array();
    history_append(messages, parts->turns, parts->turn_count, parts->history_bytes_max, parts->job);
    for (size_t i = 0; i < json_array_size(messages); i++)
        put_json(out, behind, json_array_get(messages, i));
}

static void put_messages(FILE *out, const struct llm_request_parts *parts)
{
    const json_t *new_messages = parts->job->messages;
    size_t count = json_array_size(new_messages);
    bool own_system = false;
    bool behind = false;
    for (size_t i = 0; i < count; i++)
        own_system = own_system || history_is_system(json_array_get(new_messages, i));

    if (parts->system_prompt != NULL && !own_system) {
        AUTO_JSON json_t *system = json_pack("{s:s, s:s}", "role", "system", "content", parts->system_prompt);
        put_json(out, &behind, system);
    }
    /* Many chat templates take a system message in first place only: the job's leading ones go before the
     * history. */
    size_t leading = 0;
    while (leading < count && history_is_system(json_array_get(new_messages, leading)))
        put_json(out, &behind, json_array_get(new_messages, leading++));
    put_history(out, &behind, parts);
    for (size_t i = leading; i < count; i++)
        put_json(out, &behind, json_array_get(new_messages, i));
}

/* The model, then params; the later ones win: settings, the provider's, the job's. */
static void put_rest(FILE *out, const struct provider_settings *provider, const char *own_text)
{
    AUTO_JSON json_t *base = provider->params != NULL ? json_loads(provider->params, 0, NULL) : NULL; /* checked at start */
    AUTO_JSON json_t *own = own_text != NULL ? json_text_load(own_text, strlen(own_text)) : NULL;
    if (provider->model != NULL && json_object_get(base, "model") == NULL && json_object_get(own, "model") == NULL) {
        AUTO_JSON json_t *model = json_string(provider->model);
        fputs(",\"model\":", out);
        json_dumpf(model, out, JSON_ENCODE_ANY);
    }
    if (base != NULL)
        put_params(out, provider->params, base, own);
    if (own != NULL)
        put_params(out, own_text, own, NULL);
}

char *llm_request_encode(const struct llm_request_parts *parts)
{
    char *body = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&body, &size);
    if (out == NULL)
        abort();
    fputs("{\"messages\":[", out);
    put_messages(out, parts);
    fputc(']', out);
    put_rest(out, parts->provider, parts->job->params);
    if (parts->stream)
        fputs(parts->provider->stream_usage == STREAM_USAGE_ASKED ? ",\"stream\":true,\"stream_options\":{\"include_usage\":true}" : ",\"stream\":true", out);
    fputc('}', out);
    if (fclose(out) != 0)
        abort();
    return body;
}

/* ---- errors ---- */

/* What an error body says of itself, in any of its shapes. Borrowed from the body's JSON; NULL: not said. */
struct provider_error {
    const char *code;
    const char *type;
    const char *message;
    int status; /* an integer code between 400 and 599, else 0 */
    int64_t n_ctx, n_prompt; /* llama.cpp's, of a context overflow; 0: not said */
};

static const char *text_at(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static void read_error_object(const json_t *object, struct provider_error *ret)
{
    const json_t *code = json_object_get(object, "code");
    ret->code = text_at(object, "code");
    if (json_is_integer(code) && json_integer_value(code) >= 400 && json_integer_value(code) <= 599)
        ret->status = (int)json_integer_value(code);
    ret->type = text_at(object, "type");
    if (ret->type == NULL)
        ret->type = text_at(object, "status"); /* Gemini: "RESOURCE_EXHAUSTED" */
    ret->message = text_at(object, "message");
    ret->n_ctx = json_integer_value(json_object_get(object, "n_ctx"));
    ret->n_prompt = json_integer_value(json_object_get(object, "n_prompt_tokens"));
}

static void read_error(const json_t *root, struct provider_error *ret)
{
    *ret = (struct provider_error){0};
    if (json_is_array(root)) /* Gemini wraps its error in an array */
        root = json_array_get(root, 0);
    const json_t *error = json_object_get(root, "error");
    if (json_is_object(error)) {
        read_error_object(error, ret);
    } else if (json_is_string(error)) { /* TGI */
        read_error_object(root, ret);
        ret->message = json_string_value(error);
    } else { /* vLLM before 0.10: members at the top */
        read_error_object(root, ret);
    }
    if (ret->type == NULL)
        ret->type = text_at(root, "error_type");
}

static bool is_one_of(const char *word, const char *const *words)
{
    for (; word != NULL && *words != NULL; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}

/* The account, not the rate: waiting doesn't help, someone must pay. */
static bool is_billing(const struct provider_error *said)
{
    static const char *const words[] = {
        "insufficient_quota",  "billing_hard_limit_reached",   "billing_not_active", "insufficient_balance",
        "access_terminated",   "insufficient_user_quota",      "account_deactivated", "insufficient_credits",
        "payment_required",    "exceeded_current_quota_error", "billing_error",      "access_terminated_error",
        "insufficient_funds",  "credit_balance_too_low",       NULL};
    return is_one_of(said->code, words) || is_one_of(said->type, words);
}

static bool is_context_overflow(int status, const struct provider_error *said)
{
    static const char *const words[] = {"context_length_exceeded", "exceed_context_size_error",
                                        "context_window_exceeded", "model_context_window_exceeded", NULL};
    static const char *const phrases[] = {"maximum context length",     "exceeds the available context size",
                                          "exceeds the context window", "context window exceeded",
                                          "prompt is too long",         "`inputs` must have less than",
                                          "`max_new_tokens` must be <=", /* TGI */
                                          NULL};
    if (is_one_of(said->code, words) || is_one_of(said->type, words))
        return true;
    /* Only a refusal of the request: a message of any other failure may mention the context in passing. */
    if (said->message == NULL || (status != 400 && status != 413 && status != 422))
        return false;
    for (const char *const *phrase = phrases; *phrase != NULL; phrase++)
        if (strcasestr(said->message, *phrase) != NULL)
            return true;
    return false;
}

static enum error_class class_of_status(int status)
{
    if (status == 503 || status == 529)
        return ERROR_UNAVAILABLE;
    if (status == 408 || status == 409 || status == 424 || status == 429 || status >= 500)
        return ERROR_RETRIABLE;
    return ERROR_PERMANENT;
}

static const char *remedy(int status)
{
    switch (status) {
    case 401:
    case 403: return ": check api_key and auth";
    case 404:
    case 405: return ": check url and model";
    default: return status >= 300 && status < 400 ? ": redirects are not followed, check url" : "";
    }
}

/* Only what looks like an identifier is passed on: a code goes into logs and metrics, and a sentence might
 * quote the request. */
static bool is_identifier(const char *word)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    size_t length = word != NULL ? strlen(word) : 0;
    return length > 0 && length < sizeof((struct error *)0)->code && strspn(word, letters) == length;
}

static void classify(int status, const struct provider_error *said, struct llm_failure *failure, struct error *err)
{
    char fallback[16];
    snprintf(fallback, sizeof fallback, "http_%d", status);
    const char *code = is_identifier(said->code) ? said->code : is_identifier(said->type) ? said->type : fallback;
    bool overflow = is_context_overflow(status, said);
    bool billing = !overflow && is_billing(said);
    if (failure != NULL) {
        failure->context_overflow = overflow;
        failure->n_ctx = overflow && said->n_ctx > 0 ? said->n_ctx : 0;
        failure->n_prompt = overflow && said->n_prompt > 0 ? said->n_prompt : 0;
        failure->billing = billing;
    }
    if (overflow)
        error_set(err, ERROR_PERMANENT, "context_length_exceeded", "HTTP %d, %s: the conversation is longer than the "
                  "model's context", status, code);
    else if (billing)
        error_set(err, ERROR_PERMANENT, code, "HTTP %d, %s: the account can't pay, see the provider's billing page",
                  status, code);
    else
        error_set(err, class_of_status(status), code, "HTTP %d, %s%s", status, code, remedy(status));
}

void llm_error_classify(int http_status, const char *body, size_t size, struct llm_failure *failure, struct error *err)
{
    AUTO_JSON json_t *root = json_text_load(body, size);
    struct provider_error said;
    read_error(root, &said);
    classify(http_status, &said, failure, err);
}

/* An error that came with a 200: which status it would have had. */
static int status_of(const struct provider_error *said)
{
    static const struct {
        const char *word;
        int status;
    } words[] = {{"rate_limit_exceeded", 429},    {"rate_limit_error", 429}, {"RESOURCE_EXHAUSTED", 429},
                 {"overloaded_error", 529},       {"overloaded", 529},       {"unavailable_error", 503},
                 {"invalid_request_error", 400},  {"BadRequestError", 400},  {"authentication_error", 401},
                 {"permission_error", 403},       {"not_found_error", 404},  {"invalid_api_key", 401},
                 {"model_not_found", 404},        {"context_length_exceeded", 400}};
    if (said->status != 0)
        return said->status;
    const char *const tries[] = {said->code, said->type};
    for (size_t t = 0; t < 2; t++)
        for (size_t i = 0; tries[t] != NULL && i < sizeof words / sizeof words[0]; i++)
            if (strcmp(tries[t], words[i].word) == 0)
                return words[i].status;
    return 500;
}

bool llm_is_error_in_200(const json_t *root)
{
    if (json_is_array(root))
        root = json_array_get(root, 0);
    const json_t *error = json_object_get(root, "error");
    const char *object = text_at(root, "object");
    return json_is_object(error) || json_is_string(error) || (object != NULL && strcmp(object, "error") == 0);
}

enum status llm_error_in_200(const json_t *root, struct llm_failure *failure, struct error *err)
{
    struct provider_error said;
    struct error why = {0};
    read_error(root, &said);
    classify(status_of(&said), &said, failure, &why);
    return error_set(err, why.class, why.code, "an error inside an HTTP 200, as of %s", why.message);
}

/* ---- the answer ---- */

static int64_t tokens_at(const json_t *usage, const char *name)
{
    const json_t *value = json_object_get(usage, name);
    return json_is_integer(value) && json_integer_value(value) >= 0 ? json_integer_value(value) : -1;
}

static char *copy_at(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? xstrdup(text) : NULL;
}

struct usage llm_usage_read(const json_t *usage)
{
    return (struct usage){.prompt_tokens = tokens_at(usage, "prompt_tokens"),
                          .completion_tokens = tokens_at(usage, "completion_tokens"),
                          .total_tokens = tokens_at(usage, "total_tokens")};
}

enum status llm_response_decode(const char *body, size_t size, struct llm_answer *ret, struct llm_failure *failure,
                                struct error *err)
{
    AUTO_JSON json_t *root = json_text_load(body, size);
    if (root == NULL)
        return error_set(err, ERROR_RETRIABLE, "invalid_response", "the answer of %zu bytes is no JSON", size);
    if (llm_is_error_in_200(root))
        return llm_error_in_200(root, failure, err);
    const json_t *choice = json_array_get(json_object_get(root, "choices"), 0);
    json_t *message = json_object_get(choice, "message");
    if (!json_is_object(message))
        return error_set(err, ERROR_RETRIABLE, "invalid_response", "the answer has no %s",
                         choice == NULL ? "choices" : "message");
    *ret = (struct llm_answer){
        .message = json_incref(message),
        .finish_reason = copy_at(choice, "finish_reason"),
        .model = copy_at(root, "model"),
        .usage = llm_usage_read(json_object_get(root, "usage")),
    };
    return STATUS_OK;
}
