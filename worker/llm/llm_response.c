#include "llm/llm_response.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "llm/answer_message.h"
#include "llm/done_mark.h"
#include "llm/llm_error.h"
#include "llm/llm_finish.h"
#include "llm/sse_parser.h"
#include "llm/stream_fold.h"
#include "wire/job_scan.h"
#include "wire/json_check.h"
#include "wire/json_repair.h"
#include "wire/json_text.h"
#include "wire/json_view.h"

static void set_kind(struct llm_failure *failure, enum failure_kind kind)
{
    if (failure != NULL)
        failure->kind = kind;
}

/* ---- usage ---- */

static int64_t text_count(const char *text)
{
    char *end;
    errno = 0;
    long long count = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' ? count : -1;
}

static int64_t count_at(const json_t *usage, const char *name)
{
    const json_t *value = json_object_get(usage, name);
    int64_t count = -1;
    double real = json_real_value(value);
    if (json_is_integer(value))
        count = json_integer_value(value);
    else if (json_is_real(value) && real >= 0 && real < 9e15 && (double)(int64_t)real == real)
        count = (int64_t)real;
    else if (json_string_length(value) > 0)
        count = text_count(json_string_value(value));
    return count >= 0 ? count : -1;
}

struct usage llm_usage_read(const json_t *usage)
{
    return (struct usage){.prompt_tokens = count_at(usage, "prompt_tokens"),
                          .completion_tokens = count_at(usage, "completion_tokens"),
                          .total_tokens = count_at(usage, "total_tokens")};
}

/* ---- chunks in one body ---- */

/* One chunk, or several in sequence, a line each, say. Their texts are within the body; other memory is bounded like a whole
 * message's, by one tree. */
static enum status fold(const char *body, size_t size, struct llm_answer *ret, struct llm_failure *failure, struct error *err)
{
    struct sse_parser parser;
    struct stream_fold folding;
    struct sse_event last;
    struct llm_said *said = failure != NULL ? failure->said : NULL;
    sse_parser_init(&parser, size + 1);
    stream_fold_init(&folding, size + JSON_TREE_BYTES_MAX);
    folding.failure.said = said;
    enum status status = sse_parser_feed(&parser, body, size, stream_fold_event, &folding);
    if (status == STATUS_OK && sse_parser_pending(&parser, &last))
        stream_fold_last_event(&folding, &last);
    status = stream_fold_end(&folding, true, ret, failure, err);
    stream_fold_finish(&folding);
    sse_parser_finish(&parser);
    return status;
}

/* ---- one value ---- */

/* The members read of a response and of its first choice. */
enum { CHOICES, ERROR, OBJECT, USAGE, MODEL, ROOT_MEMBERS };
static const char *const root_names[ROOT_MEMBERS] = {"choices", "error", "object", "usage", "model"};
enum { MESSAGE, TEXT, DELTA, CHOICE_ERROR, FINISH_REASON, NATIVE_FINISH_REASON, CHOICE_MEMBERS };
static const char *const choice_names[CHOICE_MEMBERS] = {"message", "text", "delta", "error", "finish_reason", "native_finish_reason"};

/* The message, or only its text; empty: there is none. */
static struct json_view message_of(const struct json_view choice[CHOICE_MEMBERS], bool *ret_is_text)
{
    int type = json_view_type(choice[MESSAGE]);
    struct json_view found = {0};
    if (type == JSON_STRING || type == JSON_OBJECT)
        found = choice[MESSAGE];
    else if (json_view_type(choice[TEXT]) == JSON_STRING)
        found = choice[TEXT];
    *ret_is_text = json_view_type(found) == JSON_STRING;
    return found;
}

/* The message as a tree: owned; NULL: it has too many members. */
static json_t *load_message(struct json_view found, bool is_text)
{
    json_t *message;
    if (is_text) {
        size_t size;
        AUTO_FREE char *text = json_view_decode(found, &size);
        message = json_object();
        json_object_set_new(message, "role", json_string("assistant"));
        json_object_set_new(message, "content", json_stringn(text, size));
    } else {
        message = json_text_load_checked(found.text, found.size);
    }
    if (message != NULL)
        answer_message_settle(message);
    return message;
}

/* A choice's own error, as a tree owned by the caller, or NULL. */
static json_t *error_of(struct json_view error)
{
    return error.size > 0 && json_view_type(error) != JSON_NULL ? json_text_load(error.text, error.size) : NULL;
}

/* Decodes valid JSON. Only the message becomes a tree: other members (logprobs, say) may be many times as large. */
static enum status decode(const char *body, size_t size, struct llm_answer *ret, struct llm_failure *failure, struct error *err)
{
    struct json_view root[ROOT_MEMBERS], choice[CHOICE_MEMBERS], first = {0};
    bool is_text;
    json_view_members(json_view_of(body, body + size), root_names, ROOT_MEMBERS, root);
    (void)json_view_next(root[CHOICES], &first);
    json_view_members(first, choice_names, CHOICE_MEMBERS, choice);
    struct json_view message = message_of(choice, &is_text);
    bool has_message = message.size > 0;
    if (!has_message && json_view_type(choice[DELTA]) == JSON_OBJECT)
        return fold(body, size, ret, failure, err);
    bool is_error = root[ERROR].size > 0 || json_view_is(root[OBJECT], "error");
    if (!has_message || is_error) {
        AUTO_JSON json_t *said = json_text_load(body, size); /* NULL: no error has so many values */
        if (llm_error_is_in_200(said))
            return llm_error_in_200(said, failure, err);
    }
    AUTO_FREE char *reason = json_view_decode(choice[FINISH_REASON], NULL);
    AUTO_FREE char *native = json_view_decode(choice[NATIVE_FINISH_REASON], NULL);
    AUTO_JSON json_t *error = error_of(choice[CHOICE_ERROR]);
    AUTO_JSON json_t *message_tree = has_message ? load_message(message, is_text) : NULL;
    if (has_message && message_tree == NULL)
        return error_set(err, ERROR_PERMANENT, "response_too_large", "the message of %zu bytes has too many members", message.size);
    struct llm_finish finish = {.reason = reason, .native = native, .error = error, .message = message_tree};
    if (llm_finish_check(&finish, failure, err) != STATUS_OK)
        return STATUS_FAILED;
    if (!has_message)
        return error_set(err, ERROR_RETRIABLE, "invalid_response", "the answer has no %s",
                         first.size == 0 ? "choices" : "message");
    AUTO_JSON json_t *usage_tree = json_view_type(root[USAGE]) == JSON_OBJECT ? json_text_load_checked(root[USAGE].text, root[USAGE].size) : NULL;
    *ret = (struct llm_answer){
        .message = steal_ptr(&message_tree),
        .finish_reason = steal_ptr(&reason),
        .model = json_view_decode(root[MODEL], NULL),
        .usage = llm_usage_read(usage_tree),
    };
    set_kind(failure, FAILURE_NONE);
    return STATUS_OK;
}

/* ---- any ---- */

static enum status no_json(size_t size, struct error *err)
{
    return error_set(err, ERROR_RETRIABLE, "invalid_response", "the answer of %zu bytes is no JSON", size);
}

/* Not inlined: not used for usual answers. */
__attribute__((noinline)) static enum status decode_liberally(const char *body, size_t size, struct llm_answer *ret, struct llm_failure *failure,
                                                              struct error *err)
{
    struct json_repaired repaired;
    bool done;
    if (!json_repair(body, size, JSON_HALVES_MENDED, &repaired))
        return no_json(size, err);
    AUTO_FREE char *text = repaired.text;
    size_t end = repaired.read + done_mark_skip(body + repaired.read, size - repaired.read, &done);
    return end == size ? decode(text, repaired.size, ret, failure, err) : fold(body, size, ret, failure, err);
}

enum status llm_response_decode(const char *body, size_t size, struct llm_answer *ret, struct llm_failure *failure,
                                struct error *err)
{
    set_kind(failure, FAILURE_ANSWER); /* unless it can be read, or is an error of another kind */
    if (size == 0)
        return no_json(size, err);
    if (utf8_invalid_at(body, size) != SCAN_NOWHERE || json_check(body, size, false).kind != JSON_FINE)
        return decode_liberally(body, size, ret, failure, err);
    return decode(body, size, ret, failure, err);
}
