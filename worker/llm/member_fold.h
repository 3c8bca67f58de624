/* Members of a streamed message that have no rule of their own (a reasoning of whatever name, signatures, custom calls), joined from
 * their deltas. A part of stream_fold and tool_call_fold, and private to them.
 *
 * A provider may want back what came with tool calls, whatever its name, so nothing of it may be lost. The rule is that of OpenAI's
 * own clients: a text goes on where it ended, an object is joined member by member; an array's element goes on the one with its
 * `index`. Of what names or seals a thing (`id`, `type`, `name`, a signature) and of numbers the last one counts. Beyond that:
 *
 *   - What comes once stays as it is, whatever is in it, nulls too.
 *   - Null, "", [] and {} say nothing where there is something, and give way to it. Something of another kind than what came before
 *     is contrary: nobody can say what was meant, and whoever folds fails.
 *   - An element without an `index` is another, but for a *piece*: parts of text without an index ({"type":"text","text":…}, as
 *     Mistral streams content and thinking) go on the last part of that type. Two that follow each other in one delta are two.
 *
 * Joined as it comes: text in pieces is copied once. Pure; one thread at a time. */
#ifndef CHAT_LLM_MEMBER_FOLD_H
#define CHAT_LLM_MEMBER_FOLD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "llm/text_buffer.h"

#define MEMBER_FOLD_ITEMS_MAX 512 /* of one object or array that comes in pieces: more would make each search long */

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
    json_t *whole;     /* owned: a scalar; an object or array that came in one, until more of it comes */
    struct member_fold *items; /* owned: members or elements, as they came first */
    size_t count;
};

void member_fold_finish(struct member_fold *fold);

/* Joins one member to an object (all zero: an empty one), and adds what is kept of it to *bytes. */
enum fold_fault member_fold_add(struct member_fold *object, const char *name, const json_t *value, size_t *bytes) MUST_CHECK;
/* What a member is by now; NOTHING: it isn't there, or null. */
enum member_kind member_fold_kind(const struct member_fold *object, const char *name);
/* Does it say something: more than null, "", [] and {}? */
bool member_fold_says(const struct member_fold *object, const char *name);
/* An object, owned by the caller; empty where nothing was joined. Texts are as they came: they may not be UTF-8 (json_tree_mend). */
json_t *member_fold_json(const struct member_fold *object);

/* What an `index` says: a number from 0 on, also as 0.0 or "0"; -1: nothing of use. */
json_int_t member_index(const json_t *index);
/* "", [], {}, null. */
bool member_is_void(const json_t *value);

#endif
