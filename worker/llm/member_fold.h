/* Members of a streamed message that have no rule of their own (a reasoning of whatever name, signatures, custom calls), joined from
 * their deltas. A part of stream_fold and tool_call_fold, and private to them.
 *
 * A provider may require members that came with tool calls, whatever their names, so none may be lost. The rule is that of OpenAI's
 * own clients: texts are concatenated, objects joined member by member; an array's element is joined to the one with its
 * `index`. Of names and seals (`id`, `type`, `name`, a signature) and of numbers the last one counts. Beyond that:
 *
 *   - A member that comes once stays as it is, whatever it contains, nulls too.
 *   - Null, "", [] and {} are ignored if there is a value, and replaced by one. A value of another kind than the earlier one
 *     is contrary: the meaning is unclear, and the fold fails.
 *   - An element without an `index` is a new one, except a *piece*: parts of text without an index ({"type":"text","text":…}, as
 *     Mistral streams content and thinking) are joined to the last part of that type. Two in sequence in one delta are two.
 *
 * Joined as deltas come: text in pieces is copied once. Pure; one thread at a time. */
#ifndef CHAT_LLM_MEMBER_FOLD_H
#define CHAT_LLM_MEMBER_FOLD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "llm/text_buffer.h"

#define MEMBER_FOLD_ITEMS_MAX 512 /* of one object or array that comes in pieces: more would make each search slow */

enum fold_fault {
    FOLD_FINE,
    FOLD_TOO_MUCH, /* more than MEMBER_FOLD_ITEMS_MAX in one place */
    FOLD_CONTRARY
};

enum member_kind { MEMBER_NOTHING, MEMBER_TEXT, MEMBER_SCALAR, MEMBER_OBJECT, MEMBER_ARRAY };

/* All zero is nothing. */
struct member_fold {
    enum member_kind kind;
    char *name;        /* owned; NULL: an element */
    json_int_t index;  /* an element's; -1: none */
    struct text_buffer text;
    json_t *whole;     /* owned: a scalar; or an object or array of one delta, until more of it comes */
    struct member_fold *items; /* owned: members or elements, in the order of arrival */
    size_t count;
};

void member_fold_finish(struct member_fold *fold);

/* Joins one member to an object (all zero: an empty one), and adds the bytes kept to *bytes. */
enum fold_fault member_fold_add(struct member_fold *object, const char *name, const json_t *value, size_t *bytes) MUST_CHECK;
/* The present kind of a member; NOTHING: missing, or null. */
enum member_kind member_fold_kind(const struct member_fold *object, const char *name);
/* Is the member non-empty: not null, "", [] or {}? */
bool member_fold_says(const struct member_fold *object, const char *name);
/* An object, owned by the caller; empty where nothing was joined. Texts are as they came: they may not be UTF-8 (json_tree_mend). */
json_t *member_fold_json(const struct member_fold *object);

/* The value of an `index`: a number from 0 on, also as 0.0 or "0"; -1: unusable. */
json_int_t member_index(const json_t *index);
/* "", [], {}, null. */
bool member_is_void(const json_t *value);

#endif
