#include "llm/stream_fold.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "llm/done_mark.h"
#include "llm/llm_error.h"
#include "llm/llm_finish.h"
#include "llm/llm_response.h"
#include "wire/json_repair.h"
#include "wire/json_text.h"
#include "wire/utf8_mend.h"

void stream_fold_init(struct stream_fold *fold, size_t bytes_max)
{
    *fold = (struct stream_fold){.bytes_max = bytes_max,
                                 .usage = llm_usage_read(NULL),
                                 .failure = {.retry_after_ms = -1, .should_retry = -1}};
    stream_output_init(&fold->output);
}

void stream_fold_finish(struct stream_fold *fold)
{
    free(fold->finish_reason);
    free(fold->native_finish_reason);
    free(fold->model);
    message_fold_finish(&fold->message);
    stream_output_finish(&fold->output);
    *fold = (struct stream_fold){0};
}

static void fail(struct stream_fold *fold, enum error_class class, const char *code, const char *message)
{
    fold->failed = true;
    fold->failure.kind = FAILURE_ANSWER;
    error_set(&fold->why, class, code, "%s", message);
}

static void fail_by(struct stream_fold *fold, enum fold_fault fault)
{
    if (fault == FOLD_TOO_MUCH)
        fail(fold, ERROR_PERMANENT, "response_too_large", "the answer has too many members or tool calls");
    else if (fault == FOLD_CONTRARY)
        fail(fold, ERROR_PERMANENT, "invalid_response", "the stream contradicts itself: a member of its message goes over from one kind of value to another");
}

/* ---- new text ---- */

bool stream_fold_has_news(const struct stream_fold *fold)
{
    return !fold->failed && stream_output_has_news(&fold->output, fold->message.texts);
}

void stream_fold_news(struct stream_fold *fold, struct stream_news *ret)
{
    *ret = (struct stream_news){0};
    if (!fold->failed)
        stream_output_news(&fold->output, fold->message.texts, ret);
}

/* ---- joining ---- */

/* For members about the whole answer. Azure's first chunk has an empty model, Ollama's have empty reasons: these are
 * ignored. */
static void keep_latest_text(char **kept, const json_t *value)
{
    const char *text = json_string_value(value);
    if (text == NULL || text[0] == '\0')
        return;
    free(*kept);
    *kept = utf8_mend(text, json_string_length(value), NULL);
}

/* again: delta is the whole message, repeated behind its deltas: only its new members are joined. */
static void join_delta(struct stream_fold *fold, json_t *delta, bool again)
{
    const char *name;
    json_t *value;
    fold->answered = true;
    fold->has_message = fold->has_message || json_object_size(delta) > 0;
    AUTO_JSON json_t *joined = again ? json_object() : json_incref(delta);
    json_object_foreach(delta, name, value)
        if (again && !message_fold_has(&fold->message, name))
            json_object_set(joined, name, value);
    stream_output_hear(&fold->output, fold->message.texts, joined);
    message_fold_add(&fold->message, joined);
    fail_by(fold, fold->message.fault);
    if (!fold->failed && fold->message.bytes > fold->bytes_max) {
        fold->failed = true;
        fold->failure.kind = FAILURE_ANSWER;
        error_set(&fold->why, ERROR_PERMANENT, "response_too_large", "the answer is larger than %zu bytes", fold->bytes_max);
    }
}

/* ---- events ---- */

/* Does the choice count? A chunk may contain several pieces of it, or none: usage comes without one, as do Azure's filters. */
static bool is_first(const json_t *choice, size_t at)
{
    json_int_t index = member_index(json_object_get(choice, "index"));
    return index >= 0 ? index == 0 : at == 0;
}

/* Joins the choice's part of the message. */
static void take_message(struct stream_fold *fold, const json_t *choice)
{
    json_t *delta = json_object_get(choice, "delta"), *message = json_object_get(choice, "message"), *text = json_object_get(choice, "text");
    if (json_is_object(delta)) {
        fold->has_delta = fold->has_delta || json_object_size(delta) > 0;
        join_delta(fold, delta, false);
    }
    if (json_is_object(message) && !fold->failed) {
        join_delta(fold, message, fold->has_delta);
    } else if (json_is_string(text) && !json_is_object(delta) && !json_is_object(message)) { /* from a server with completions only */
        AUTO_JSON json_t *content = json_pack("{s:O}", "content", text);
        join_delta(fold, content, false);
    }
}

static void take_choice(struct stream_fold *fold, const json_t *choice)
{
    const json_t *usage = json_object_get(choice, "usage"); /* Moonshot */
    json_t *error = json_object_get(choice, "error");
    keep_latest_text(&fold->finish_reason, json_object_get(choice, "finish_reason"));
    keep_latest_text(&fold->native_finish_reason, json_object_get(choice, "native_finish_reason"));
    fold->answered = fold->answered || fold->finish_reason != NULL;
    if (json_is_object(usage))
        fold->usage = llm_usage_read(usage);
    take_message(fold, choice);
    stream_output_settle(&fold->output, fold->message.texts, false); /* the bytes that aren't UTF-8 may be another member's */
    if (fold->output.ragged)
        json_tree_mend(error);
    struct llm_finish broken = {.error = error};
    if (!fold->failed && llm_finish_check(&broken, &fold->failure, &fold->why) != STATUS_OK)
        fold->failed = true;
}

static void take_chunk(struct stream_fold *fold, const json_t *root)
{
    const json_t *choices = json_object_get(root, "choices"), *usage = json_object_get(root, "usage");
    keep_latest_text(&fold->model, json_object_get(root, "model"));
    for (size_t i = 0; i < json_array_size(choices) && !fold->failed; i++)
        if (is_first(json_array_get(choices, i), i))
            take_choice(fold, json_array_get(choices, i));
    if (json_is_object(usage))
        fold->usage = llm_usage_read(usage);
}

/* root may be NULL; its texts may not be UTF-8 if the fold is ragged. */
static void take_value(struct stream_fold *fold, bool named_error, json_t *root)
{
    if (named_error || llm_error_is_in_200(root)) {
        fold->failed = true;
        json_tree_mend(root);
        llm_error_in_200(root, &fold->failure, &fold->why);
    } else if (!json_is_object(root)) {
        fail(fold, ERROR_RETRIABLE, "invalid_response", "a chunk of the stream is no JSON object");
    } else {
        take_chunk(fold, root);
    }
}

/* How many bytes U+FFFD may add, since texts are counted by their original bytes. */
static size_t growth_of(const struct json_repaired *repaired)
{
    size_t mended = utf8_mended_size(repaired->text, repaired->size);
    return mended > repaired->size ? mended - repaired->size : 0;
}

/* Takes the first value of an event with malformed JSON. Returns its size; 0: there is none. */
static size_t take_mended(struct stream_fold *fold, bool named_error, const char *data, size_t size)
{
    struct json_repaired repaired;
    if (!json_repair(data, size, JSON_HALVES_KEPT, &repaired))
        return 0;
    AUTO_JSON json_t *root = json_repaired_tree(&repaired);
    if (repaired.ragged && !fold->output.ragged) {
        fold->output.ragged = true;
        stream_output_settle(&fold->output, fold->message.texts, false); /* text returned before is UTF-8 */
    }
    fold->message.bytes += repaired.ragged ? growth_of(&repaired) : 0;
    free(repaired.text);
    take_value(fold, named_error, root);
    return repaired.read;
}

static void take_json(struct stream_fold *fold, bool named_error, const char *data, size_t size)
{
    AUTO_JSON json_t *root = json_text_load(data, size);
    if (root != NULL) {
        take_value(fold, named_error, root);
        return;
    }
    for (bool first = true; (first || size > 0) && !fold->failed && !fold->done; first = false) {
        size_t read = take_mended(fold, named_error, data, size);
        if (read == 0) {
            take_value(fold, named_error, NULL);
            return;
        }
        read += done_mark_skip(data + read, size - read, &fold->done);
        data += read;
        size -= read;
    }
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\0';
}

/* An event's data without surrounding white space, and without a field name in it: some servers frame twice. */
static struct sse_event trimmed(const struct sse_event *event)
{
    static const char field[] = "data:";
    struct sse_event inner = *event;
    while (inner.size > 0 && is_blank(inner.data[inner.size - 1]))
        inner.size--;
    while (inner.size > 0) {
        bool framed = inner.size >= sizeof field - 1 && memcmp(inner.data, field, sizeof field - 1) == 0;
        if (!framed && !is_blank(inner.data[0]))
            break;
        inner.data += framed ? sizeof field - 1 : 1;
        inner.size -= framed ? sizeof field - 1 : 1;
    }
    return inner;
}

static bool is_named(const struct sse_event *event, const char *name)
{
    return strcmp(event->name, name) == 0;
}

/* A keep-alive, such as a `ping` whose data isn't JSON, or an event without data. */
static bool is_idle(const struct sse_event *event)
{
    if (is_named(event, "error"))
        return false;
    return event->size == 0 || (!is_named(event, "message") && event->data[0] != '{' && event->data[0] != '[');
}

bool stream_fold_event(void *arg, const struct sse_event *event)
{
    struct stream_fold *fold = arg;
    struct sse_event inner = trimmed(event);
    bool named_error = is_named(event, "error");
    if (fold->done || fold->failed)
        return false;
    if (!named_error && done_mark_is(inner.data, inner.size)) {
        fold->done = true;
    } else if (!is_idle(&inner)) {
        fold->chunk_count++;
        take_json(fold, named_error, inner.data, inner.size);
    }
    return !fold->done && !fold->failed;
}

void stream_fold_last_event(struct stream_fold *fold, const struct sse_event *event)
{
    struct sse_event inner = trimmed(event);
    AUTO_JSON json_t *root = json_text_load_mended(inner.data, inner.size);
    if (root != NULL || is_named(event, "error") || done_mark_is(inner.data, inner.size))
        (void)stream_fold_event(fold, event);
}

/* ---- the answer ---- */

static enum status fail_again(const struct stream_fold *fold, struct llm_failure *failure, struct error *err)
{
    if (failure != NULL) {
        int http_status = failure->http_status;
        struct llm_said *said = failure->said;
        *failure = fold->failure;
        failure->http_status = http_status;
        failure->said = said;
    }
    return error_set(err, fold->why.class, fold->why.code, "%s", fold->why.message);
}

enum status stream_fold_end(struct stream_fold *fold, bool orderly, struct llm_answer *ret, struct llm_failure *failure,
                            struct error *err)
{
    stream_output_settle(&fold->output, fold->message.texts, true);
    if (!fold->failed && message_fold_is_contrary(&fold->message))
        fail_by(fold, FOLD_CONTRARY);
    if (fold->failed)
        return fail_again(fold, failure, err);
    bool broken = !fold->done && (fold->finish_reason == NULL || !orderly);
    if (failure != NULL)
        failure->kind = broken ? FAILURE_SERVER : !fold->answered ? FAILURE_ANSWER : FAILURE_NONE;
    if (broken)
        return error_set(err, ERROR_RETRIABLE, "stream_broken", "the stream %s before its answer's end, after %llu chunks",
                         orderly ? "ended" : "was cut off", (unsigned long long)fold->chunk_count);
    if (!fold->answered)
        return error_set(err, ERROR_RETRIABLE, "invalid_response", "the stream has no choices");
    AUTO_JSON json_t *message = message_fold_json(&fold->message, fold->output.ragged);
    struct llm_finish finish = {.reason = fold->finish_reason, .native = fold->native_finish_reason, .message = fold->has_message ? message : NULL};
    if (llm_finish_check(&finish, failure, err) != STATUS_OK)
        return STATUS_FAILED;
    *ret = (struct llm_answer){
        .message = steal_ptr(&message),
        .finish_reason = steal_ptr(&fold->finish_reason),
        .model = steal_ptr(&fold->model),
        .usage = fold->usage,
    };
    return STATUS_OK;
}
