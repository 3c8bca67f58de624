/* One message joined from its deltas.
 *
 * content, refusal and reasoning of any name (stream_output.h) are concatenated; tool_calls are joined by tool_call_fold.h; function_call
 * likewise; any other member, and content or reasoning that is no text, by member_fold.h. Content that changes from text to parts, or back,
 * becomes parts: [{"type":"text","text":…},…]. answer_message.h adds missing members. Nothing is lost silently: a delta that can't be
 * joined to the earlier ones is a fault, and no more deltas are joined then.
 *
 * A part of stream_fold, and private to it. Pure; one thread at a time. */
#ifndef CHAT_LLM_MESSAGE_FOLD_H
#define CHAT_LLM_MESSAGE_FOLD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "llm/member_fold.h"
#include "llm/stream_output.h"
#include "llm/text_buffer.h"
#include "llm/tool_call_fold.h"

/* All zero: no delta yet. */
struct message_fold {
    size_t bytes; /* kept so far, as JSON */
    enum fold_fault fault;
    json_t *role; /* this and the members below: owned; NULL: missing */
    struct text_buffer texts[STREAM_TEXTS];
    struct tool_call_fold tool_calls;
    struct tool_call function_call;
    bool has_function_call;
    struct member_fold others; /* unknown members, and known ones with a value of another kind */
};

void message_fold_finish(struct message_fold *fold);

/* Joins a delta, an object. Sets fault if it can't be joined. */
void message_fold_add(struct message_fold *fold, const json_t *delta);
/* Does the message have this member already? */
bool message_fold_has(const struct message_fold *fold, const char *name);
/* Did a member come with another kind of value than before? */
bool message_fold_is_contrary(const struct message_fold *fold);
/* The message, owned by the caller. ragged: texts may not be UTF-8, and are mended. */
json_t *message_fold_json(const struct message_fold *fold, bool ragged) MUST_CHECK;

#endif
