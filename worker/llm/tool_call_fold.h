/* The tool calls of a streamed message, joined from their deltas. A part of stream_fold, and private to it.
 *
 * `index` is the call that a delta belongs to, but not everywhere: Gemini omits it or sends 0 for all,
 * lmdeploy sends 0 for all. The id can't replace it: other servers make a new one for each delta, or give two calls
 * the same. So a delta is joined to the latest call with its index; without an index, to the one with its id; with
 * neither, to the last. It begins another call if there is no such call, or if it has a name while that call
 * has one already, and an id of its own; without an id, if arguments came between the two names, or come with it without an index.
 *
 * A name may come in pieces, or again with each delta. Arguments are a text, or a tree as some send them, which stays one. */
#ifndef CHAT_LLM_TOOL_CALL_FOLD_H
#define CHAT_LLM_TOOL_CALL_FOLD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "llm/member_fold.h"
#include "llm/text_buffer.h"

#define TOOL_CALLS_MAX 512 /* in one answer: a stream with more is broken, and would make each search slow */

struct tool_call {
    json_int_t index;
    json_t *id; /* owned; NULL: missing. The first value counts, as with type */
    json_t *type;
    bool has_function, has_arguments; /* arguments as a text, even an empty one */
    struct text_buffer name;
    struct text_buffer arguments;
    struct member_fold of_function; /* other members of its `function`, also arguments as a tree */
    struct member_fold others;      /* other members of the call itself */
};

struct tool_call_fold {
    struct tool_call *items; /* by index, equal ones in the order of arrival; owned */
    size_t count;
};

void tool_call_fold_finish(struct tool_call_fold *fold);
void tool_call_finish(struct tool_call *call);

/* Joins an array of deltas, each an object, and adds the bytes kept to *bytes. TOO_MUCH: more than
 * TOOL_CALLS_MAX, or too many members. CONTRARY: an element isn't an object, or by member_fold.h. */
enum fold_fault tool_call_fold_add(struct tool_call_fold *fold, const json_t *deltas, size_t *bytes) MUST_CHECK;
/* Joins a `function` or `function_call`, an object. */
enum fold_fault tool_call_add_function(struct tool_call *call, const json_t *function, size_t *bytes) MUST_CHECK;

/* Both are owned by the caller; their texts are unchanged. */
json_t *tool_call_fold_json(const struct tool_call_fold *fold); /* the message's `tool_calls` */
json_t *tool_call_function_json(const struct tool_call *call);

/* For members with one value, here and in stream_fold: keeps the first text that isn't empty. False: value is no such text. */
bool tool_call_keep_first(json_t **kept, json_t *value, size_t *bytes);

#endif
