#include "llm/message_fold.h"

#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "llm/answer_message.h"
#include "wire/json_repair.h"
#include "wire/json_writer.h"

void message_fold_finish(struct message_fold *fold)
{
    json_decref(fold->role);
    for (size_t i = 0; i < STREAM_TEXTS; i++)
        text_buffer_finish(&fold->texts[i]);
    tool_call_fold_finish(&fold->tool_calls);
    tool_call_finish(&fold->function_call);
    member_fold_finish(&fold->others);
    *fold = (struct message_fold){0};
}

static void fail_by(struct message_fold *fold, enum fold_fault fault)
{
    if (fault != FOLD_FINE)
        fold->fault = fault;
}

/* ---- joining ---- */

static void join_text(struct message_fold *fold, enum stream_text which, const json_t *value)
{
    text_buffer_append(&fold->texts[which], json_string_value(value), json_string_length(value));
    fold->bytes += json_written_size(json_string_value(value), json_string_length(value)); /* its size in the reply */
}

static void join_other(struct message_fold *fold, const char *name, const json_t *value)
{
    fail_by(fold, member_fold_add(&fold->others, name, value, &fold->bytes));
}

static void join_text_part(struct message_fold *fold, const char *text, size_t size)
{
    AUTO_JSON json_t *parts = json_pack("[{s:s, s:o}]", "type", "text", "text", json_stringn_nocheck(text, size));
    join_other(fold, "content", parts);
}

/* Content that is no text: earlier text becomes a part. */
static void join_parts(struct message_fold *fold, const json_t *value)
{
    struct text_buffer *content = &fold->texts[STREAM_CONTENT];
    if (content->size > 0) {
        fold->bytes -= json_written_size(content->bytes, content->size);
        join_text_part(fold, content->bytes, content->size);
        text_buffer_clear(content); /* the channel has its own copy by now */
    }
    if (fold->fault != FOLD_FINE)
        return;
    if (json_is_object(value) && member_fold_kind(&fold->others, "content") == MEMBER_ARRAY) {
        AUTO_JSON json_t *parts = json_array();
        json_array_append(parts, (json_t *)(uintptr_t)value);
        join_other(fold, "content", parts);
    } else {
        join_other(fold, "content", value);
    }
}

static void join_content(struct message_fold *fold, const json_t *value)
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

static void join_member(struct message_fold *fold, const char *name, json_t *value)
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

void message_fold_add(struct message_fold *fold, const json_t *delta)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)delta, name, value)
        if (fold->fault == FOLD_FINE)
            join_member(fold, name, value);
}

/* ---- the message ---- */

bool message_fold_has(const struct message_fold *fold, const char *name)
{
    for (size_t i = 0; i < STREAM_TEXTS; i++)
        if (strcmp(name, stream_text_name((enum stream_text)i)) == 0 && fold->texts[i].size > 0)
            return true;
    return (strcmp(name, "role") == 0 && fold->role != NULL) || (strcmp(name, "tool_calls") == 0 && fold->tool_calls.count > 0) ||
           (strcmp(name, "function_call") == 0 && fold->has_function_call) || member_fold_says(&fold->others, name);
}

bool message_fold_is_contrary(const struct message_fold *fold)
{
    for (size_t i = 0; i < STREAM_TEXTS; i++)
        if (fold->texts[i].size > 0 && member_fold_says(&fold->others, stream_text_name((enum stream_text)i)))
            return true;
    return (fold->tool_calls.count > 0 && member_fold_says(&fold->others, "tool_calls")) || (fold->has_function_call && member_fold_says(&fold->others, "function_call"));
}

/* Content is text, or parts, or another value. NULL: there is none. */
static json_t *content_json(const struct message_fold *fold, json_t *others)
{
    const struct text_buffer *content = &fold->texts[STREAM_CONTENT];
    return content->size > 0 ? json_stringn_nocheck(content->bytes, content->size) : json_incref(json_object_get(others, "content"));
}

json_t *message_fold_json(const struct message_fold *fold, bool ragged)
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
    if (ragged)
        json_tree_mend(message);
    answer_message_settle(message);
    return message;
}
