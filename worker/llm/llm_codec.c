#include "llm/llm_codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "chat/history.h"
#include "llm/call_failure.h"
#include "wire/json_member.h"
#include "wire/json_text.h"
#include "wire/json_writer.h"

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

/* An object's members that none of the other (may be NULL) overrides, as they came. */
static void put_params(struct json_writer *out, const char *text, json_t *params, const json_t *overriding)
{
    struct json_member member = {.at = text, .end = text + strlen(text)};
    const char *name;
    json_t *value;
    json_object_foreach(params, name, value) {
        if (!json_member_next(&member))
            break;
        if (!param_is_ours(name) && json_object_get(overriding, name) == NULL)
            json_write_raw_member(out, member.name, member.name_size, member.value, member.value_size);
    }
}

static void put_history(struct json_writer *out, const struct llm_request_parts *parts)
{
    if (parts->turn_count == 0)
        return;
    AUTO_FREE char *spliced = history_splice(parts->turns, parts->turn_count, parts->history_bytes_max, parts->job);
    if (spliced != NULL) {
        if (spliced[0] != '\0')
            json_write_raw(out, NULL, spliced);
        return;
    }
    AUTO_JSON json_t *messages = json_array();
    history_append(messages, parts->turns, parts->turn_count, parts->history_bytes_max, parts->job);
    for (size_t i = 0; i < json_array_size(messages); i++)
        json_write_tree(out, NULL, json_array_get(messages, i));
}

static void put_system(struct json_writer *out, const char *content)
{
    json_write_open(out, NULL);
    json_write_text(out, "role", "system");
    json_write_text(out, "content", content);
    json_write_close(out);
}

/* The job's own, or else the settings' (either may be NULL), with the context (may be NULL) as its end; an own one whose content
 * isn't a text stays as it is, and the context is a message behind it. */
static void put_last_system(struct json_writer *out, json_t *own, const char *system_prompt, const char *context)
{
    const char *text = own != NULL ? json_string_value(json_object_get(own, "content")) : system_prompt;
    if (context != NULL && text != NULL) {
        AUTO_FREE char *joined = xasprintf("%s\n\n%s", text, context);
        AUTO_JSON json_t *message = own != NULL ? json_copy(own) : json_pack("{s:s}", "role", "system");
        json_object_set_new(message, "content", json_string(joined));
        json_write_tree(out, NULL, message);
        return;
    }
    if (own != NULL)
        json_write_tree(out, NULL, own);
    else if (system_prompt != NULL)
        put_system(out, system_prompt);
    if (context != NULL)
        put_system(out, context);
}

static void put_messages(struct json_writer *out, const struct llm_request_parts *parts)
{
    const json_t *new_messages = parts->job->messages;
    size_t count = json_array_size(new_messages);
    bool own_system = false;
    for (size_t i = 0; i < count; i++)
        own_system = own_system || history_is_system(json_array_get(new_messages, i));

    /* Many chat templates take a system message in first place only, and but one: the job's leading ones go before the
     * history, and the context into the last message before it. */
    size_t leading = 0;
    while (leading < count && history_is_system(json_array_get(new_messages, leading)))
        leading++;
    for (size_t i = 0; i + 1 < leading; i++)
        json_write_tree(out, NULL, json_array_get(new_messages, i));
    put_last_system(out, leading > 0 ? json_array_get(new_messages, leading - 1) : NULL, own_system ? NULL : parts->system_prompt, parts->context);
    put_history(out, parts);
    for (size_t i = leading; i < count; i++)
        json_write_tree(out, NULL, json_array_get(new_messages, i));
}

/* The model, then params; the later ones win: settings, the provider's, the job's. */
static void put_rest(struct json_writer *out, const struct provider_settings *provider, const char *own_text)
{
    AUTO_JSON json_t *base = provider->params != NULL ? json_loads(provider->params, 0, NULL) : NULL; /* checked at start */
    AUTO_JSON json_t *own = own_text != NULL ? json_text_load(own_text, strlen(own_text)) : NULL;
    if (provider->model != NULL && json_object_get(base, "model") == NULL && json_object_get(own, "model") == NULL)
        json_write_text(out, "model", provider->model);
    if (base != NULL)
        put_params(out, provider->params, base, own);
    if (own != NULL)
        put_params(out, own_text, own, NULL);
}

char *llm_request_encode(const struct llm_request_parts *parts)
{
    struct json_writer body = {0};
    json_write_open(&body, NULL);
    json_write_open_array(&body, "messages");
    put_messages(&body, parts);
    json_write_close_array(&body);
    put_rest(&body, parts->provider, parts->job->params);
    if (parts->stream) {
        json_write_bool(&body, "stream", true);
        if (parts->provider->stream_usage == STREAM_USAGE_ASKED)
            json_write_raw(&body, "stream_options", "{\"include_usage\":true}");
    }
    json_write_close(&body);
    return body.text;
}

/* ---- errors ---- */

#define WORDS_BYTES_MAX 4096 /* of a body whose shape nobody knows: how much of it is looked through for a reason */

/* What an error body says of itself, in any of its shapes. Borrowed from the body's JSON; NULL: not said. */
struct provider_error {
    const char *code;
    const char *type;
    const char *message;
    const char *param; /* the request's member that it is about */
    const char *body; /* in the place of a message that isn't where others have theirs; NULL: not needed */
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
    ret->param = text_at(object, "param");
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
    if (ret->param == NULL) /* FastAPI's: {"detail":[{"loc":["body","temperature"],…}]} */
        ret->param = json_string_value(json_array_get(json_object_get(json_array_get(json_object_get(root, "detail"), 0), "loc"), 1));
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

/* Of a refusal of the request: does it name neither another member than its messages, nor a reason? Messages of the history may be
 * at fault, or anything else. */
static bool is_unexplained(int status, const struct provider_error *said)
{
    static const char *const words[] = {"unsupported_parameter", "unsupported_value", "unknown_parameter", "missing_required_parameter", NULL};
    static const char messages[] = "messages";
    if (status != 400 && status != 422)
        return false;
    if (said->param != NULL)
        return strncmp(said->param, messages, sizeof messages - 1) == 0;
    return !is_one_of(said->code, words) && !is_one_of(said->type, words);
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

static enum failure_kind kind_of(int status, const struct provider_error *said)
{
    struct refusal_words words = {.code = said->code, .type = said->type, .message = said->message != NULL ? said->message : said->body};
    return failure_kind_of_refusal(status, &words);
}

static void classify(int status, const struct provider_error *said, struct llm_failure *failure, struct error *err)
{
    char fallback[16];
    snprintf(fallback, sizeof fallback, "http_%d", status);
    const char *code = is_identifier(said->code) ? said->code : is_identifier(said->type) ? said->type : fallback;
    bool overflow = is_context_overflow(status, said);
    bool billing = !overflow && is_billing(said);
    enum failure_kind kind = overflow ? FAILURE_TOO_LONG : billing ? FAILURE_BILLING : kind_of(status, said);
    if (failure != NULL) {
        failure->kind = kind;
        failure->context_overflow = overflow;
        failure->n_ctx = overflow && said->n_ctx > 0 ? said->n_ctx : 0;
        failure->n_prompt = overflow && said->n_prompt > 0 ? said->n_prompt : 0;
        failure->billing = billing;
        failure->unexplained = kind == FAILURE_REQUEST && is_unexplained(status, said);
    }
    if (overflow)
        error_set(err, ERROR_PERMANENT, "context_length_exceeded", "HTTP %d, %s: the conversation is longer than the "
                  "model's context", status, code);
    else if (kind == FAILURE_CONTENT)
        error_set(err, ERROR_PERMANENT, "content_filter", "HTTP %d, %s: the provider refuses what the conversation says", status, code);
    else if (billing)
        error_set(err, ERROR_PERMANENT, code, "HTTP %d, %s: the account can't pay, see the provider's billing page",
                  status, code);
    else
        error_set(err, call_failure_class(status), code, "HTTP %d, %s%s", status, code, remedy(status));
}

void llm_error_classify(int http_status, const char *body, size_t size, struct llm_failure *failure, struct error *err)
{
    AUTO_JSON json_t *root = json_text_load(body, size);
    AUTO_FREE char *text = NULL;
    struct provider_error said;
    read_error(root, &said);
    if (said.message == NULL && size > 0)
        said.body = text = xmemdup0(body, size < WORDS_BYTES_MAX ? size : WORDS_BYTES_MAX);
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
    if (root != NULL && llm_is_error_in_200(root))
        return llm_error_in_200(root, failure, err);
    if (failure != NULL)
        failure->kind = FAILURE_ANSWER; /* unless it can be read */
    if (root == NULL)
        return error_set(err, ERROR_RETRIABLE, "invalid_response", "the answer of %zu bytes is no JSON", size);
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
    if (failure != NULL)
        failure->kind = FAILURE_NONE;
    return STATUS_OK;
}
