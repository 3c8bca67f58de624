#include "llm/llm_codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "chat/history.h"
#include "llm/call_failure.h"
#include "wire/job_scan.h"
#include "wire/json_check.h"
#include "wire/json_member.h"
#include "wire/json_text.h"
#include "wire/json_view.h"
#include "wire/json_writer.h"

/* ---- the request ---- */

/* What the codec itself decides. A job's params can't hold them (job_decode refuses); a provider's might. */
static bool param_is_ours(const struct json_member *param)
{
    static const char *const ours[] = {"messages", "stream", "stream_options", "n"};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (json_member_is(param, ours[i]))
            return true;
    return false;
}

static struct json_view view_of(const char *text)
{
    return text != NULL ? json_view_of(text, text + strlen(text)) : (struct json_view){0};
}

/* Has object (may be none) a member of the same name? */
static bool overrides(struct json_view object, const struct json_member *param)
{
    struct json_view name = {param->name - 1, param->name_size + 2};
    struct json_member own = {.at = object.text, .end = object.text + object.size};
    while (object.size > 0 && json_member_next(&own))
        if (json_view_compare((struct json_view){own.name - 1, own.name_size + 2}, name) == 0)
            return true;
    return false;
}

/* An object's members that none of the other overrides, as they came. */
static void put_params(struct json_writer *out, struct json_view params, struct json_view overriding)
{
    struct json_member param = {.at = params.text, .end = params.text + params.size};
    while (params.size > 0 && json_member_next(&param))
        if (!param_is_ours(&param) && !overrides(overriding, &param))
            json_write_raw_member(out, param.name, param.name_size, param.value, param.value_size);
}

static void put_history(struct json_writer *out, const struct llm_request_parts *parts)
{
    if (parts->turn_count == 0)
        return;
    if (!history_splice(out, parts->turns, parts->turn_count, parts->history_bytes_max, parts->job))
        history_append(out, parts->turns, parts->turn_count, parts->history_bytes_max, parts->job);
}

static void put_system(struct json_writer *out, const char *content)
{
    json_write_open(out, NULL);
    json_write_text(out, "role", "system");
    json_write_text(out, "content", content);
    json_write_close(out);
}

/* message, whose content is a string, with context behind it. */
static void put_with_context(struct json_writer *out, struct json_view message, const char *context)
{
    struct json_member member = {.at = message.text, .end = message.text + message.size};
    json_write_open(out, NULL);
    while (json_member_next(&member)) {
        if (json_member_is(&member, "content"))
            json_write_longer(out, "content", (struct json_view){member.value, member.value_size}, context);
        else
            json_write_raw_member(out, member.name, member.name_size, member.value, member.value_size);
    }
    json_write_close(out);
}

/* The job's own, or else the settings' (either may be none), with the context (may be NULL) as its end; an own one whose content
 * isn't a text stays as it is, and the context is a message behind it. */
static void put_last_system(struct json_writer *out, struct json_view own, const char *system_prompt, const char *context)
{
    AUTO_FREE char *behind = context != NULL ? xasprintf("\n\n%s", context) : NULL;
    if (context != NULL && own.size > 0 && json_view_type(json_view_member(own, "content")) == JSON_STRING) {
        put_with_context(out, own, behind);
        return;
    }
    if (context != NULL && own.size == 0 && system_prompt != NULL) {
        AUTO_FREE char *joined = xasprintf("%s%s", system_prompt, behind);
        put_system(out, joined);
        return;
    }
    if (own.size > 0)
        json_write_view(out, NULL, own);
    else if (system_prompt != NULL)
        put_system(out, system_prompt);
    if (context != NULL)
        put_system(out, context);
}

static void put_messages(struct json_writer *out, const struct llm_request_parts *parts)
{
    struct json_view messages = view_of(parts->job->messages), at = {0}, last_leading = {0};
    bool own_system = false;
    while (!own_system && json_view_next(messages, &at))
        own_system = history_is_system(at);

    /* Many chat templates take a system message in first place only, and but one: the job's leading ones go before the
     * history, and the context into the last message before it. */
    at = (struct json_view){0};
    while (json_view_next(messages, &at) && history_is_system(at)) {
        if (last_leading.size > 0)
            json_write_view(out, NULL, last_leading);
        last_leading = at;
    }
    put_last_system(out, last_leading, own_system ? NULL : parts->system_prompt, parts->context);
    put_history(out, parts);
    for (; at.size > 0; json_view_next(messages, &at)) /* from the first behind those that lead */
        json_write_view(out, NULL, at);
}

/* The model, then params; the later ones win: settings, the provider's, the job's. */
static void put_rest(struct json_writer *out, const struct provider_settings *provider, const char *own_text)
{
    struct json_view base = view_of(provider->params); /* checked at start */
    struct json_view own = view_of(own_text);          /* by job_decode */
    if (provider->model != NULL && json_view_member(base, "model").size == 0 && json_view_member(own, "model").size == 0)
        json_write_text(out, "model", provider->model);
    put_params(out, base, own);
    put_params(out, own, (struct json_view){0});
}

/* Not far from what the body will be, so that it isn't copied while it grows. */
static size_t room_for(const struct llm_request_parts *parts)
{
    size_t room = strlen(parts->job->messages) + 1024;
    const char *const texts[] = {parts->system_prompt, parts->context, parts->job->params, parts->provider->params};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        room += texts[i] != NULL ? strlen(texts[i]) : 0;
    size_t history = 0;
    for (size_t i = 0; i < parts->turn_count; i++)
        history += strlen(parts->turns[i]);
    return room + (parts->history_bytes_max >= 0 && history > (size_t)parts->history_bytes_max ? (size_t)parts->history_bytes_max : history);
}

char *llm_request_encode(const struct llm_request_parts *parts)
{
    struct json_writer body = {0};
    json_writer_reserve(&body, room_for(parts));
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
    const char *body; /* as it came, its beginning; NULL: none */
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
    /* FastAPI's: {"detail":[{"loc":["body","temperature"],…}]} */
    const json_t *place = json_object_get(json_array_get(json_object_get(root, "detail"), 0), "loc");
    for (size_t i = 0; ret->param == NULL && i < 2; i++) {
        const char *name = json_string_value(json_array_get(place, i));
        ret->param = name != NULL && strcmp(name, "body") != 0 ? name : NULL;
    }
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

/* "messages", "messages.[2].content", "body.messages[1]", "$.contents[0].parts", "input" */
static bool names_conversation(const char *path)
{
    static const char *const names[] = {"messages", "message", "contents", "content", "input", "inputs", "prompt", "conversation", "history", NULL};
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    while (*path != '\0') {
        size_t length = strspn(path, letters);
        for (const char *const *name = names; *name != NULL; name++)
            if (strlen(*name) == length && strncmp(path, *name, length) == 0)
                return true;
        path += length;
        path += strcspn(path, letters);
    }
    return false;
}

/* Of a refusal of the request: does it name neither another member than its messages, nor a reason? Messages of the history may be
 * at fault, or anything else. */
static bool is_unexplained(int status, const struct provider_error *said)
{
    static const char *const words[] = {"unsupported_parameter", "unsupported_value", "unknown_parameter", "missing_required_parameter", NULL};
    if (status != 400 && status != 422)
        return false;
    if (said->param != NULL)
        return names_conversation(said->param);
    bool explained = is_one_of(said->code, words) || is_one_of(said->type, words);
    return !explained || (said->message != NULL && strstr(said->message, "messages") != NULL); /* of a member of theirs */
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
    struct refusal_words words = {.code = said->code, .type = said->type, .message = said->message != NULL ? said->message : said->body, .body = said->body};
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
    if (size > 0)
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

struct usage llm_usage_read(const json_t *usage)
{
    return (struct usage){.prompt_tokens = tokens_at(usage, "prompt_tokens"),
                          .completion_tokens = tokens_at(usage, "completion_tokens"),
                          .total_tokens = tokens_at(usage, "total_tokens")};
}

/* The message alone becomes a tree: what stands around it (logprobs, say) may be many times as much. */
enum status llm_response_decode(const char *body, size_t size, struct llm_answer *ret, struct llm_failure *failure,
                                struct error *err)
{
    if (failure != NULL)
        failure->kind = FAILURE_ANSWER; /* unless it can be read, or says what it is */
    if (size == 0 || utf8_invalid_at(body, size) != SCAN_NOWHERE || json_check(body, size, false).kind != JSON_FINE)
        return error_set(err, ERROR_RETRIABLE, "invalid_response", "the answer of %zu bytes is no JSON", size);
    struct json_view root = json_view_of(body, body + size);
    struct json_view choice = {0};
    (void)json_view_next(json_view_member(root, "choices"), &choice);
    struct json_view message = json_view_member(choice, "message");
    bool is_error = json_view_member(root, "error").size > 0 || json_view_is(json_view_member(root, "object"), "error");
    if (json_view_type(message) != JSON_OBJECT || is_error) {
        AUTO_JSON json_t *said = json_text_load(body, size); /* NULL: no error has so many values */
        if (llm_is_error_in_200(said))
            return llm_error_in_200(said, failure, err);
    }
    if (json_view_type(message) != JSON_OBJECT)
        return error_set(err, ERROR_RETRIABLE, "invalid_response", "the answer has no %s",
                         choice.size == 0 ? "choices" : "message");
    struct json_view usage = json_view_member(root, "usage");
    AUTO_JSON json_t *message_tree = json_text_load(message.text, message.size);
    AUTO_JSON json_t *usage_tree = json_text_load(usage.text, usage.size);
    if (message_tree == NULL)
        return error_set(err, ERROR_PERMANENT, "response_too_large", "the message of %zu bytes has too many members", message.size);
    *ret = (struct llm_answer){
        .message = steal_ptr(&message_tree),
        .finish_reason = json_view_decode(json_view_member(choice, "finish_reason"), NULL),
        .model = json_view_decode(json_view_member(root, "model"), NULL),
        .usage = llm_usage_read(usage_tree),
    };
    if (failure != NULL)
        failure->kind = FAILURE_NONE;
    return STATUS_OK;
}
