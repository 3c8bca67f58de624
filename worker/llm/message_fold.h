/* One message joined from its deltas: how, whatever the stream around them is.
 *
 * content, refusal and reasoning of whatever name (stream_output.h) are concatenated; tool_calls as tool_call_fold.h says; function_call
 * likewise; any other member, and content or reasoning that is no text, as member_fold.h says. Content that goes over from text to parts, or back,
 * is parts: [{"type":"text","text":…},…]. What a message must have besides is answer_message.h's. Nothing is lost in silence: what can't be
 * joined with what came before it is a fault, and nothing more is joined then.
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

/* All zero is a message of which nothing has come. */
struct message_fold {
    size_t bytes; /* kept so far, as JSON writes them */
    enum fold_fault fault;
    json_t *role; /* owned, as all that follows; NULL: not said */
    struct text_buffer texts[STREAM_TEXTS];
    struct tool_call_fold tool_calls;
    struct tool_call function_call;
    bool has_function_call;
    struct member_fold others; /* members that aren't known, and what known ones are that isn't of their kind */
};

void message_fold_finish(struct message_fold *fold);

/* Joins a delta, an object. fault tells of what couldn't be. */
void message_fold_add(struct message_fold *fold, const json_t *delta);
/* Is there anything under that name already? */
bool message_fold_has(const struct message_fold *fold, const char *name);
/* Was something said that the message holds as something else? */
bool message_fold_is_contrary(const struct message_fold *fold);
/* The whole, owned by the caller. ragged: texts may not be UTF-8, and are mended. */
json_t *message_fold_json(const struct message_fold *fold, bool ragged) MUST_CHECK;

#endif
