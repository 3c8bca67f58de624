#include "llm/stream_fold.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "llm/llm_codec.h"
#include "wire/json_text.h"
#include "wire/json_writer.h"

static const char *const text_names[STREAM_TEXTS] = {
    [STREAM_CONTENT] = "content",
    [STREAM_REFUSAL] = "refusal",
    [STREAM_REASONING_CONTENT] = "reasoning_content",
    [STREAM_REASONING] = "reasoning",
};

void stream_fold_init(struct stream_fold *fold, size_t bytes_max)
{
    *fold = (struct stream_fold){.bytes_max = bytes_max, .usage = llm_usage_read(NULL), .failure = {.retry_after_ms = -1, .should_retry = -1}};
}

void stream_fold_finish(struct stream_fold *fold)
{
    free(fold->role);
    free(fold->finish_reason);
    free(fold->native_finish_reason);
    free(fold->model);
    for (size_t i = 0; i < STREAM_TEXTS; i++)
        text_buffer_finish(&fold->texts[i]);
    text_buffer_finish(&fold->reasonings);
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

/* ---- handing out ---- */

static const struct text_buffer *channel_of(const struct stream_fold *fold, enum stream_channel channel)
{
    if (channel == STREAM_CHANNEL_TEXT)
        return &fold->texts[STREAM_CONTENT];
    if (fold->reasonings.size > 0)
        return &fold->reasonings;
    return fold->texts[STREAM_REASONING_CONTENT].size > 0 ? &fold->texts[STREAM_REASONING_CONTENT] : &fold->texts[STREAM_REASONING];
}

/* Before a delta is joined. From where the second name appears, the channel is no longer either one's text: what was said
 * so far and what each delta adds make up one of its own. */
static void join_reasonings(struct stream_fold *fold, const json_t *delta)
{
    const json_t *one = json_object_get(delta, text_names[STREAM_REASONING_CONTENT]), *other = json_object_get(delta, text_names[STREAM_REASONING]);
    bool has_one = json_string_length(one) > 0, has_other = json_string_length(other) > 0;
    const struct text_buffer *so_far = channel_of(fold, STREAM_CHANNEL_REASONING);
    bool both = (has_one || fold->texts[STREAM_REASONING_CONTENT].size > 0) && (has_other || fold->texts[STREAM_REASONING].size > 0);
    if (!both || (!has_one && !has_other))
        return;
    if (so_far != &fold->reasonings)
        text_buffer_append(&fold->reasonings, text_buffer_text(so_far), so_far->size);
    text_buffer_append(&fold->reasonings, json_string_value(has_one ? one : other), json_string_length(has_one ? one : other));
}

bool stream_fold_has_news(const struct stream_fold *fold)
{
    bool news = false;
    for (int i = 0; i < STREAM_CHANNELS; i++)
        news = news || channel_of(fold, (enum stream_channel)i)->size > fold->told[i];
    return news && !fold->failed;
}

void stream_fold_news(struct stream_fold *fold, struct stream_news *ret)
{
    *ret = (struct stream_news){0};
    for (int i = 0; i < STREAM_CHANNELS && !fold->failed; i++) {
        const struct text_buffer *text = channel_of(fold, (enum stream_channel)i);
        assert(fold->told[i] <= text->size);
        ret->text[i] = text_buffer_text(text) + fold->told[i];
        ret->size[i] = text->size - fold->told[i];
        fold->told[i] = text->size;
    }
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
    *kept = xstrdup(text);
}

static void join_text(struct stream_fold *fold, enum stream_text which, const json_t *value)
{
    size_t size = json_string_length(value);
    if (size == 0)
        return;
    text_buffer_append(&fold->texts[which], json_string_value(value), size);
    fold->bytes += json_written_size(json_string_value(value), size); /* so large is it in the reply */
}

/* Nobody reads it as it comes, but a provider may want it back. */
static bool is_reasoning_tree(enum stream_text which, const json_t *value)
{
    return (which == STREAM_REASONING_CONTENT || which == STREAM_REASONING) && (json_is_object(value) || json_is_array(value));
}

static void join_member(struct stream_fold *fold, const char *name, json_t *value)
{
    for (size_t i = 0; i < STREAM_TEXTS; i++)
        if (strcmp(name, text_names[i]) == 0 && !is_reasoning_tree((enum stream_text)i, value)) {
            join_text(fold, (enum stream_text)i, value);
            return;
        }
    enum status status = STATUS_OK;
    if (strcmp(name, "role") == 0) {
        tool_call_keep_first(&fold->role, value, &fold->bytes);
    } else if (strcmp(name, "tool_calls") == 0) {
        if (tool_call_fold_add(&fold->tool_calls, value, &fold->bytes) != STATUS_OK)
            fail(fold, ERROR_PERMANENT, "response_too_large", "the answer has too many tool calls, or they have too many members");
    } else if (strcmp(name, "function_call") == 0) {
        fold->has_function_call = fold->has_function_call || json_is_object(value);
        status = tool_call_add_function(&fold->function_call, value, &fold->bytes);
    } else {
        status = member_fold_add(&fold->others, name, value, &fold->bytes);
    }
    if (status != STATUS_OK)
        fail(fold, ERROR_PERMANENT, "response_too_large", "the answer has too many members");
}

static void join_delta(struct stream_fold *fold, json_t *delta)
{
    const char *name;
    json_t *value;
    fold->answered = true;
    fold->has_message = fold->has_message || json_object_size(delta) > 0;
    join_reasonings(fold, delta);
    json_object_foreach(delta, name, value) {
        join_member(fold, name, value);
    }
    if (!fold->failed && fold->bytes > fold->bytes_max) {
        fold->failed = true;
        fold->failure.kind = FAILURE_ANSWER;
        error_set(&fold->why, ERROR_PERMANENT, "response_too_large", "the answer is larger than %zu bytes", fold->bytes_max);
    }
}

/* ---- events ---- */

/* The choice that counts, or NULL: usage comes without one, and Azure's filters, too. */
static const json_t *first_choice(const json_t *root)
{
    const json_t *choices = json_object_get(root, "choices");
    for (size_t i = 0; i < json_array_size(choices); i++) {
        const json_t *choice = json_array_get(choices, i);
        const json_t *index = json_object_get(choice, "index");
        if (json_is_integer(index) ? json_integer_value(index) == 0 : i == 0)
            return choice;
    }
    return NULL;
}

static void take_chunk(struct stream_fold *fold, const json_t *root)
{
    const json_t *choice = first_choice(root);
    json_t *delta = json_object_get(choice, "delta");
    fold->chunk_count++;
    keep_latest_text(&fold->model, json_object_get(root, "model"));
    keep_latest_text(&fold->finish_reason, json_object_get(choice, "finish_reason"));
    keep_latest_text(&fold->native_finish_reason, json_object_get(choice, "native_finish_reason"));
    fold->answered = fold->answered || fold->finish_reason != NULL;
    if (json_is_object(json_object_get(root, "usage")))
        fold->usage = llm_usage_read(json_object_get(root, "usage"));
    if (json_is_object(delta))
        join_delta(fold, delta);
    struct llm_finish broken = {.error = json_object_get(choice, "error")};
    if (!fold->failed && llm_finish_check(&broken, &fold->failure, &fold->why) != STATUS_OK)
        fold->failed = true;
}

static void take_json(struct stream_fold *fold, bool named_error, const char *data, size_t size)
{
    AUTO_JSON json_t *root = json_text_load(data, size);
    if (named_error || llm_is_error_in_200(root)) {
        fold->failed = true;
        llm_error_in_200(root, &fold->failure, &fold->why);
    } else if (!json_is_object(root)) {
        fail(fold, ERROR_RETRIABLE, "invalid_response", "a chunk of the stream is no JSON object");
    } else {
        take_chunk(fold, root);
    }
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

bool stream_fold_event(void *arg, const struct sse_event *event)
{
    struct stream_fold *fold = arg;
    if (fold->done || fold->failed)
        return false;
    const char *data = event->data;
    size_t size = event->size;
    while (size > 0 && is_blank(data[size - 1]))
        size--;
    while (size > 0 && is_blank(data[0])) {
        data++;
        size--;
    }
    bool named_error = strcmp(event->name, "error") == 0;
    if (!named_error && size == strlen("[DONE]") && memcmp(data, "[DONE]", size) == 0)
        fold->done = true;
    else if (named_error || size > 0) /* nothing at all only keeps a connection awake */
        take_json(fold, named_error, data, size);
    return !fold->done && !fold->failed;
}

/* ---- the answer ---- */

static json_t *content_json(const struct stream_fold *fold)
{
    const struct text_buffer *content = &fold->texts[STREAM_CONTENT];
    bool replaced = fold->tool_calls.count > 0 || fold->has_function_call || fold->texts[STREAM_REFUSAL].size > 0;
    return content->size == 0 && replaced ? json_null() : json_stringn(text_buffer_text(content), content->size);
}

static json_t *message_json(const struct stream_fold *fold)
{
    json_t *message = json_object();
    json_object_set_new(message, "role", json_string(fold->role != NULL ? fold->role : "assistant"));
    json_object_set_new(message, "content", content_json(fold));
    for (size_t i = STREAM_CONTENT + 1; i < STREAM_TEXTS; i++)
        if (fold->texts[i].size > 0)
            json_object_set_new(message, text_names[i], json_stringn(fold->texts[i].bytes, fold->texts[i].size));
    if (fold->tool_calls.count > 0)
        json_object_set_new(message, "tool_calls", tool_call_fold_json(&fold->tool_calls));
    if (fold->has_function_call)
        json_object_set_new(message, "function_call", tool_call_function_json(&fold->function_call));
    AUTO_JSON json_t *others = member_fold_json(&fold->others);
    json_object_update_missing(message, others);
    return message;
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
