#include "llm/stream_fold.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "llm/answer_message.h"
#include "llm/done_mark.h"
#include "llm/llm_codec.h"
#include "llm/llm_response.h"
#include "wire/json_repair.h"
#include "wire/json_text.h"
#include "wire/json_writer.h"
#include "wire/utf8_mend.h"

void stream_fold_init(struct stream_fold *fold, size_t bytes_max)
{
    *fold = (struct stream_fold){.bytes_max = bytes_max,
                                 .usage = llm_usage_read(NULL),
                                 .failure = {.retry_after_ms = -1, .should_retry = -1}};
    stream_told_init(&fold->told);
}

void stream_fold_finish(struct stream_fold *fold)
{
    json_decref(fold->role);
    free(fold->finish_reason);
    free(fold->native_finish_reason);
    free(fold->model);
    for (size_t i = 0; i < STREAM_TEXTS; i++)
        text_buffer_finish(&fold->texts[i]);
    stream_told_finish(&fold->told);
    tool_call_fold_finish(&fold->tool_calls);
    tool_call_finish(&fold->function_call);
    member_fold_finish(&fold->others);
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

/* ---- handing out ---- */

bool stream_fold_has_news(const struct stream_fold *fold)
{
    return !fold->failed && stream_told_has_news(&fold->told, fold->texts);
}

void stream_fold_news(struct stream_fold *fold, struct stream_news *ret)
{
    *ret = (struct stream_news){0};
    if (!fold->failed)
        stream_told_news(&fold->told, fold->texts, ret);
}

/* ---- joining ---- */

/* For what a chunk says of the whole answer. Azure's first chunk has an empty model, Ollama's have empty reasons: they
 * say nothing. */
static void keep_latest_text(char **kept, const json_t *value)
{
    const char *text = json_string_value(value);
    if (text == NULL || text[0] == '\0')
        return;
    free(*kept);
    *kept = utf8_mend(text, json_string_length(value), NULL);
}

static void join_text(struct stream_fold *fold, enum stream_text which, const json_t *value)
{
    text_buffer_append(&fold->texts[which], json_string_value(value), json_string_length(value));
    fold->bytes += json_written_size(json_string_value(value), json_string_length(value)); /* so large is it in the reply */
}

static void join_other(struct stream_fold *fold, const char *name, const json_t *value)
{
    fail_by(fold, member_fold_add(&fold->others, name, value, &fold->bytes));
}

static void join_text_part(struct stream_fold *fold, const char *text, size_t size)
{
    AUTO_JSON json_t *parts = json_pack("[{s:s, s:o}]", "type", "text", "text", json_stringn_nocheck(text, size));
    join_other(fold, "content", parts);
}

/* Content that is no text: what was text before is a part. */
static void join_parts(struct stream_fold *fold, const json_t *value)
{
    struct text_buffer *content = &fold->texts[STREAM_CONTENT];
    if (content->size > 0) {
        fold->bytes -= json_written_size(content->bytes, content->size);
        join_text_part(fold, content->bytes, content->size);
        text_buffer_clear(content); /* the channel has its own by now */
    }
    if (fold->failed)
        return;
    if (json_is_object(value) && member_fold_kind(&fold->others, "content") == MEMBER_ARRAY) {
        AUTO_JSON json_t *parts = json_array();
        json_array_append(parts, (json_t *)(uintptr_t)value);
        join_other(fold, "content", parts);
    } else {
        join_other(fold, "content", value);
    }
}

static void join_content(struct stream_fold *fold, const json_t *value)
{
    if ((json_is_array(value) || json_is_object(value)) && !member_is_void(value))
        join_parts(fold, value);
    else if (json_string_length(value) == 0)
        join_other(fold, "content", value);
    else if (member_fold_kind(&fold->others, "content") == MEMBER_ARRAY && member_fold_says(&fold->others, "content"))
        join_text_part(fold, json_string_value(value), json_string_length(value));
    else
        join_text(fold, STREAM_CONTENT, value);
}

static void join_member(struct stream_fold *fold, const char *name, json_t *value)
{
    if (strcmp(name, "content") == 0) {
        join_content(fold, value);
        return;
    }
    for (size_t i = STREAM_CONTENT + 1; json_string_length(value) > 0 && i < STREAM_TEXTS; i++)
        if (strcmp(name, stream_text_name((enum stream_text)i)) == 0) {
            join_text(fold, (enum stream_text)i, value);
            return;
        }
    if (strcmp(name, "role") == 0 && tool_call_keep_first(&fold->role, value, &fold->bytes))
        return;
    if (strcmp(name, "tool_calls") == 0 && json_array_size(value) > 0) {
        fail_by(fold, tool_call_fold_add(&fold->tool_calls, value, &fold->bytes));
    } else if (strcmp(name, "tool_calls") == 0 && json_is_object(json_object_get(value, "function"))) {
        AUTO_JSON json_t *calls = json_array();
        json_array_append(calls, value);
        fail_by(fold, tool_call_fold_add(&fold->tool_calls, calls, &fold->bytes));
    } else if (strcmp(name, "function_call") == 0 && json_object_size(value) > 0) {
        fold->has_function_call = true;
        fail_by(fold, tool_call_add_function(&fold->function_call, value, &fold->bytes));
    } else {
        join_other(fold, name, value);
    }
}

/* Is there anything under that name already? */
static bool has_member(const struct stream_fold *fold, const char *name)
{
    for (size_t i = 0; i < STREAM_TEXTS; i++)
        if (strcmp(name, stream_text_name((enum stream_text)i)) == 0 && fold->texts[i].size > 0)
            return true;
    return (strcmp(name, "role") == 0 && fold->role != NULL) || (strcmp(name, "tool_calls") == 0 && fold->tool_calls.count > 0) ||
           (strcmp(name, "function_call") == 0 && fold->has_function_call) || member_fold_says(&fold->others, name);
}

/* again: of the whole message, said behind its deltas, only what is new. */
static void join_delta(struct stream_fold *fold, json_t *delta, bool again)
{
    const char *name;
    json_t *value;
    fold->answered = true;
    fold->has_message = fold->has_message || json_object_size(delta) > 0;
    AUTO_JSON json_t *joined = again ? json_object() : json_incref(delta);
    json_object_foreach(delta, name, value)
        if (again && !has_member(fold, name))
            json_object_set(joined, name, value);
    stream_told_hear(&fold->told, fold->texts, joined);
    json_object_foreach(joined, name, value)
        if (!fold->failed)
            join_member(fold, name, value);
    if (!fold->failed && fold->bytes > fold->bytes_max) {
        fold->failed = true;
        fold->failure.kind = FAILURE_ANSWER;
        error_set(&fold->why, ERROR_PERMANENT, "response_too_large", "the answer is larger than %zu bytes", fold->bytes_max);
    }
}

/* ---- events ---- */

/* Does the choice count? One chunk may hold several pieces of it, or none: usage comes without, and Azure's filters. */
static bool is_first(const json_t *choice, size_t at)
{
    json_int_t index = member_index(json_object_get(choice, "index"));
    return index >= 0 ? index == 0 : at == 0;
}

/* What the choice has brought of the message. */
static void take_message(struct stream_fold *fold, const json_t *choice)
{
    json_t *delta = json_object_get(choice, "delta"), *message = json_object_get(choice, "message"), *text = json_object_get(choice, "text");
    if (json_is_object(delta)) {
        fold->has_delta = fold->has_delta || json_object_size(delta) > 0;
        join_delta(fold, delta, false);
    }
    if (json_is_object(message) && !fold->failed) {
        join_delta(fold, message, fold->has_delta);
    } else if (json_is_string(text) && !json_is_object(delta) && !json_is_object(message)) { /* a completion's, of those who know no chat */
        AUTO_JSON json_t *content = json_pack("{s:O}", "content", text);
        join_delta(fold, content, false);
    }
}

static void take_choice(struct stream_fold *fold, const json_t *choice)
{
    const json_t *usage = json_object_get(choice, "usage"); /* Moonshot's */
    json_t *error = json_object_get(choice, "error");
    keep_latest_text(&fold->finish_reason, json_object_get(choice, "finish_reason"));
    keep_latest_text(&fold->native_finish_reason, json_object_get(choice, "native_finish_reason"));
    fold->answered = fold->answered || fold->finish_reason != NULL;
    if (json_is_object(usage))
        fold->usage = llm_usage_read(usage);
    take_message(fold, choice);
    stream_told_settle(&fold->told, fold->texts, false); /* also where it is another member that is ragged */
    if (fold->told.ragged)
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

/* Its texts may not be UTF-8 where the fold is ragged. root may be NULL. */
static void take_value(struct stream_fold *fold, bool named_error, json_t *root)
{
    if (named_error || llm_is_error_in_200(root)) {
        fold->failed = true;
        json_tree_mend(root);
        llm_error_in_200(root, &fold->failure, &fold->why);
    } else if (!json_is_object(root)) {
        fail(fold, ERROR_RETRIABLE, "invalid_response", "a chunk of the stream is no JSON object");
    } else {
        take_chunk(fold, root);
    }
}

/* How much longer U+FFFD may make it than its bytes are, which is what texts are counted by. */
static size_t growth_of(const struct json_repaired *repaired)
{
    size_t mended = utf8_mended_size(repaired->text, repaired->size);
    return mended > repaired->size ? mended - repaired->size : 0;
}

/* The first value of an event that isn't JSON as it should be. How many bytes it was; 0: there is none. */
static size_t take_mended(struct stream_fold *fold, bool named_error, const char *data, size_t size)
{
    struct json_repaired repaired;
    if (!json_repair(data, size, JSON_HALVES_KEPT, &repaired))
        return 0;
    AUTO_JSON json_t *root = json_repaired_tree(&repaired);
    if (repaired.ragged && !fold->told.ragged) {
        fold->told.ragged = true;
        stream_told_settle(&fold->told, fold->texts, false); /* what was told before is UTF-8 */
    }
    fold->bytes += repaired.ragged ? growth_of(&repaired) : 0;
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

/* What an event says, without the white space around it, nor a field's name within it: servers that frame what is framed already. */
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

/* A `ping`, say, whose data isn't JSON: it only keeps a connection awake, as one without data does. */
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

/* Content is text, or parts, or what was said instead. NULL: nothing. */
static json_t *content_json(const struct stream_fold *fold, json_t *others)
{
    const struct text_buffer *content = &fold->texts[STREAM_CONTENT];
    return content->size > 0 ? json_stringn_nocheck(content->bytes, content->size) : json_incref(json_object_get(others, "content"));
}

static json_t *message_json(const struct stream_fold *fold)
{
    json_t *message = json_object();
    AUTO_JSON json_t *others = member_fold_json(&fold->others);
    json_t *content = content_json(fold, others);
    json_object_set_new(message, "role", fold->role != NULL ? json_incref(fold->role) : json_string("assistant"));
    json_object_set_new(message, "content", content != NULL ? content : json_null());
    for (size_t i = STREAM_CONTENT + 1; i < STREAM_TEXTS; i++)
        if (fold->texts[i].size > 0)
            json_object_set_new(message, stream_text_name((enum stream_text)i), json_stringn_nocheck(fold->texts[i].bytes, fold->texts[i].size));
    if (fold->tool_calls.count > 0)
        json_object_set_new(message, "tool_calls", tool_call_fold_json(&fold->tool_calls));
    if (fold->has_function_call)
        json_object_set_new(message, "function_call", tool_call_function_json(&fold->function_call));
    json_object_update_missing(message, others);
    if (content == NULL)
        json_object_set_new(message, "content", answer_message_no_content(message));
    if (fold->told.ragged)
        json_tree_mend(message);
    answer_message_settle(message);
    return message;
}

/* Was something said that the message holds as something else? */
static bool is_contrary(const struct stream_fold *fold)
{
    for (size_t i = 0; i < STREAM_TEXTS; i++)
        if (fold->texts[i].size > 0 && member_fold_says(&fold->others, stream_text_name((enum stream_text)i)))
            return true;
    return (fold->tool_calls.count > 0 && member_fold_says(&fold->others, "tool_calls")) || (fold->has_function_call && member_fold_says(&fold->others, "function_call"));
}

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
    stream_told_settle(&fold->told, fold->texts, true);
    if (!fold->failed && is_contrary(fold))
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
    AUTO_JSON json_t *message = message_json(fold);
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
