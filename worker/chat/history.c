#include "chat/history.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "chat/json_text.h"
#include "chat/llm_codec.h"

struct turn {
    json_t *root;     /* owned */
    json_t *messages; /* borrowed from root; not empty, each an object with a string role */
    size_t size;      /* bytes of the element's text */
};

static const char *role_of(const json_t *message)
{
    const char *role = json_string_value(json_object_get(message, "role"));
    return role != NULL ? role : "";
}

static bool has_role(const json_t *message, const char *role)
{
    return strcmp(role_of(message), role) == 0;
}

bool history_is_system(const json_t *message)
{
    return has_role(message, "system") || has_role(message, "developer");
}

static bool turn_decode(const char *text, struct turn *ret)
{
    size_t size = strlen(text);
    json_t *root = json_text_load(text, size);
    json_t *messages = json_object_get(root, "messages");
    bool whole = json_array_size(messages) > 0;
    for (size_t i = 0; whole && i < json_array_size(messages); i++)
        whole = role_of(json_array_get(messages, i))[0] != '\0';
    if (!whole) {
        json_decref(root);
        return false;
    }
    *ret = (struct turn){.root = root, .messages = messages, .size = size};
    return true;
}

/* The tool calls a conversation waits for after messages, or NULL. Borrowed. */
static const json_t *open_calls(const json_t *messages)
{
    const json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    const json_t *calls = json_object_get(last, "tool_calls");
    return json_array_size(calls) > 0 ? calls : NULL;
}

/* Do the tool results that messages begin with (behind system messages) answer every one of calls? */
static bool answers(const json_t *messages, const json_t *calls)
{
    size_t first = 0;
    while (history_is_system(json_array_get(messages, first)))
        first++;
    size_t end = first;
    while (has_role(json_array_get(messages, end), "tool"))
        end++;
    if (end == first)
        return false;
    for (size_t c = 0; c < json_array_size(calls); c++) {
        const char *id = json_string_value(json_object_get(json_array_get(calls, c), "id"));
        bool found = id == NULL; /* a server without ids: a result at all must do */
        for (size_t i = first; !found && i < end; i++) {
            const char *to = json_string_value(json_object_get(json_array_get(messages, i), "tool_call_id"));
            found = to != NULL && strcmp(to, id) == 0;
        }
        if (!found)
            return false;
    }
    return true;
}

/* Drops turns whose calls nothing answers, from the newest back: dropping one may leave the one before it
 * unanswered. Packs those that stay at the end of turns and returns the index of the first. */
static size_t drop_unanswered(struct turn *turns, size_t count, const json_t *new_messages)
{
    const json_t *next = new_messages;
    size_t kept = count;
    for (size_t i = count; i-- > 0;) {
        const json_t *calls = open_calls(turns[i].messages);
        if (calls != NULL && !answers(next, calls)) {
            json_decref(turns[i].root);
            continue;
        }
        next = turns[i].messages;
        turns[--kept] = turns[i];
    }
    return kept;
}

void history_append(json_t *out, char *const *turns, size_t turn_count, int64_t bytes_max, const struct job *job)
{
    if (turn_count == 0)
        return;
    struct turn *decoded = xcalloc(turn_count, sizeof *decoded);
    size_t count = 0;
    for (size_t i = 0; i < turn_count; i++) {
        if (!turn_decode(turns[i], &decoded[count]))
            continue;
        const char *id = json_string_value(json_object_get(decoded[count].root, "job"));
        if (id != NULL && strcmp(id, job->id) == 0) {
            json_decref(decoded[count].root);
            break;
        }
        count++;
    }

    size_t first = 0;
    if (bytes_max >= 0) {
        uint64_t bytes = 0;
        for (first = count; first > 0 && bytes + decoded[first - 1].size <= (uint64_t)bytes_max; first--)
            bytes += decoded[first - 1].size;
        for (size_t i = 0; i < first; i++)
            json_decref(decoded[i].root);
    }
    first += drop_unanswered(decoded + first, count - first, job->messages);

    bool begun = false;
    const json_t *before = NULL; /* the element used last */
    for (size_t i = first; i < count; i++) {
        const json_t *opening = json_array_get(decoded[i].messages, 0);
        begun = begun || has_role(opening, "user");
        bool fits = true;
        if (begun && has_role(opening, "tool")) {
            const json_t *calls = before != NULL ? open_calls(before) : NULL;
            fits = calls != NULL && answers(decoded[i].messages, calls);
        }
        if (begun && fits) {
            json_array_extend(out, decoded[i].messages);
            before = decoded[i].messages;
        }
    }
    for (size_t i = first; i < count; i++)
        json_decref(decoded[i].root);
    free(decoded);
}

/* The answer as it may be sent again. Servers add members that they or others refuse as input
 * (`reasoning_content`, an empty `tool_calls`), and an answer with neither content nor calls (a filter, a
 * limit reached while thinking) would be refused with each later job. */
static json_t *answer_to_store(json_t *answer)
{
    static const char *const kept[] = {"name", "refusal", "function_call"};
    json_t *stored = json_object();
    json_t *content = json_object_get(answer, "content");
    json_t *calls = json_object_get(answer, "tool_calls");
    bool has_calls = json_array_size(calls) > 0 || json_is_object(json_object_get(answer, "function_call"));
    json_object_set_new(stored, "role", json_string("assistant"));
    if ((content == NULL || json_is_null(content)) && !has_calls)
        json_object_set_new(stored, "content", json_string(""));
    else if (content != NULL)
        json_object_set(stored, "content", content);
    if (json_array_size(calls) > 0)
        json_object_set(stored, "tool_calls", calls);
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        json_t *value = json_object_get(answer, kept[i]);
        if (value != NULL && !json_is_null(value))
            json_object_set(stored, kept[i], value);
    }
    return stored;
}

char *history_turn_encode(const struct job *job, json_t *answer)
{
    json_t *messages = json_array();
    for (size_t i = 0; i < json_array_size(job->messages); i++) {
        json_t *message = json_array_get(job->messages, i);
        if (!history_is_system(message))
            json_array_append(messages, message);
    }
    json_array_append_new(messages, answer_to_store(answer));
    AUTO_JSON json_t *turn = json_object();
    json_object_set_new(turn, "job", json_string(job->id));
    json_object_set_new(turn, "messages", messages);
    return json_text_dump(turn);
}
