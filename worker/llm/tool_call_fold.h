/* The tool calls of a streamed message, joined from their deltas. A part of stream_fold, and private to it.
 *
 * `index` says which call a delta belongs to, but not everywhere: Gemini leaves it out or says 0 for all,
 * lmdeploy says 0 for all. The id can't take its place: others make a new one for each delta, or give two calls
 * the same. So a delta goes to the latest call with its index; without an index, to the one with its id; with
 * neither, to the last. It begins another call where there is none such, or where it brings a name to one that
 * has a name already, and an id of its own; without an id, where arguments part the two names, or without an index come along.
 *
 * A name may come in pieces, or again with each delta. Arguments are a text, or a tree as some send them, which stays one. */
#ifndef CHAT_LLM_TOOL_CALL_FOLD_H
#define CHAT_LLM_TOOL_CALL_FOLD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "llm/member_fold.h"
#include "llm/text_buffer.h"

#define TOOL_CALLS_MAX 512 /* in one answer: a stream that opens more is broken, and would make each search long */

struct tool_call {
    json_int_t index;
    json_t *id; /* owned; NULL: not said. As with type, the first word counts */
    json_t *type;
    bool has_function, has_arguments; /* as a text, be it empty */
    struct text_buffer name;
    struct text_buffer arguments;
    struct member_fold of_function; /* what else its `function` has, arguments as a tree too */
    struct member_fold others;      /* and the call itself */
};

struct tool_call_fold {
    struct tool_call *items; /* by index, equal ones as they came; owned */
    size_t count;
};

void tool_call_fold_finish(struct tool_call_fold *fold);
void tool_call_finish(struct tool_call *call);

/* Joins an array of deltas, each an object, and adds what is kept of it to *bytes. TOO_MUCH: more than
 * TOOL_CALLS_MAX, or too many members. CONTRARY: an element is something else, or as member_fold.h has it. */
enum fold_fault tool_call_fold_add(struct tool_call_fold *fold, const json_t *deltas, size_t *bytes) MUST_CHECK;
/* Joins a `function` or `function_call`, an object. */
enum fold_fault tool_call_add_function(struct tool_call *call, const json_t *function, size_t *bytes) MUST_CHECK;

/* Both are owned by the caller; their texts are as they came. */
json_t *tool_call_fold_json(const struct tool_call_fold *fold); /* the message's `tool_calls` */
json_t *tool_call_function_json(const struct tool_call *call);

/* Of what is said once, here and in stream_fold: the first text that isn't empty. False: it isn't one. */
bool tool_call_keep_first(json_t **kept, json_t *value, size_t *bytes);

#endif
