#include "chat/history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "wire/json_text.h"
#include "wire/json_writer.h"

#define PLAIN_MARK "{\"plain\":\""

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
static void write_answer(struct json_writer *turn, const json_t *answer)
{
    static const char *const kept[] = {"name", "refusal", "function_call"};
    const json_t *content = json_object_get(answer, "content");
    const json_t *calls = json_object_get(answer, "tool_calls");
    bool has_calls = json_array_size(calls) > 0 || json_is_object(json_object_get(answer, "function_call"));
    json_write_open(turn, NULL);
    json_write_text(turn, "role", "assistant");
    if ((content == NULL || json_is_null(content)) && !has_calls)
        json_write_text(turn, "content", "");
    else if (content != NULL)
        json_write_tree(turn, "content", content);
    if (json_array_size(calls) > 0)
        json_write_tree(turn, "tool_calls", calls);
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        const json_t *value = json_object_get(answer, kept[i]);
        if (value != NULL && !json_is_null(value))
            json_write_tree(turn, kept[i], value);
    }
    json_write_close(turn);
}

/* Nothing in it that later messages must match. */
static bool is_plain(const json_t *messages, const json_t *answer)
{
    const char *opening = NULL;
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *message = json_array_get(messages, i);
        if (history_is_system(message))
            continue;
        if ((!has_role(message, "user") && !has_role(message, "assistant")) || json_object_get(message, "tool_calls") != NULL)
            return false;
        opening = opening != NULL ? opening : role_of(message);
    }
    return opening != NULL && strcmp(opening, "user") == 0 && json_array_size(json_object_get(answer, "tool_calls")) == 0;
}

char *history_turn_encode(const struct job *job, const json_t *answer)
{
    struct json_writer turn = {0};
    json_write_open(&turn, NULL);
    json_write_text(&turn, "job", job->id);
    json_write_open_array(&turn, "messages");
    for (size_t i = 0; i < json_array_size(job->messages); i++) {
        const json_t *message = json_array_get(job->messages, i);
        if (!history_is_system(message))
            json_write_tree(&turn, NULL, message);
    }
    write_answer(&turn, answer);
    json_write_close_array(&turn);
    json_write_close(&turn);
    if (!is_plain(job->messages, answer))
        return turn.text;
    AUTO_FREE char *text = turn.text;
    const char *rest = text + 1; /* behind the brace */
    return xasprintf(PLAIN_MARK "%016" PRIx64 "\",%s", (uint64_t)XXH3_64bits(rest, turn.size - 1), rest);
}

/* ---- histories used without parsing ---- */

/* A marked element that is whole: its messages' text without the brackets. */
struct plain_turn {
    const char *messages;
    size_t size;
    size_t element_size;
    bool is_own; /* of the job that asks */
};

/* id_text: the asking job's id as JSON. */
static bool plain_turn_read(const char *element, const char *id_text, struct plain_turn *ret)
{
    static const char between[] = ",\"messages\":[";
    size_t mark = strlen(PLAIN_MARK);
    size_t size = strlen(element);
    if (size < mark + 18 || strncmp(element, PLAIN_MARK, mark) != 0)
        return false;
    const char *rest = element + mark + 18; /* 16 digits, a quote, a comma */
    size_t rest_size = size - mark - 18;
    if (strtoull(element + mark, NULL, 16) != XXH3_64bits(rest, rest_size) || strncmp(rest, "\"job\":\"", 7) != 0)
        return false;
    /* Whole, so it is what history_turn_encode wrote: a string, then the messages, then "]}". */
    const char *id = rest + 6;
    const char *after = id + 1;
    while (*after != '"' && *after != '\0')
        after += *after == '\\' && after[1] != '\0' ? 2 : 1;
    if (*after == '\0' || strncmp(after + 1, between, sizeof between - 1) != 0)
        return false;
    after++;
    ret->messages = after + sizeof between - 1;
    ret->size = (size_t)(element + size - 2 - ret->messages);
    ret->element_size = size;
    ret->is_own = strlen(id_text) == (size_t)(after - id) && memcmp(id, id_text, (size_t)(after - id)) == 0;
    return true;
}

char *history_splice(char *const *turns, size_t turn_count, int64_t bytes_max, const struct job *job)
{
    struct json_writer id = {0};
    json_write_text(&id, NULL, job->id);
    AUTO_FREE char *id_text = id.text;
    AUTO_FREE struct plain_turn *plain = xcalloc(turn_count, sizeof *plain);
    size_t count = 0;
    for (; count < turn_count; count++) {
        if (!plain_turn_read(turns[count], id_text, &plain[count]))
            return NULL;
        if (plain[count].is_own)
            break;
    }
    uint64_t bytes = 0;
    size_t room = 1;
    size_t first = count;
    for (; first > 0 && (bytes_max < 0 || bytes + plain[first - 1].element_size <= (uint64_t)bytes_max); first--) {
        bytes += plain[first - 1].element_size;
        room += plain[first - 1].size + 1;
    }
    char *joined = xcalloc(1, room);
    char *end = joined;
    for (size_t i = first; i < count; i++) {
        if (end != joined)
            *end++ = ',';
        memcpy(end, plain[i].messages, plain[i].size);
        end += plain[i].size;
    }
    *end = '\0';
    return joined;
}

size_t history_turns_to_skip(char *const *turns, size_t turn_count, size_t body_bytes, int64_t n_prompt, int64_t n_ctx)
{
    if (n_ctx <= 0 || n_prompt <= n_ctx)
        return (turn_count + 1) / 2;
    uint64_t sent = 8 * (uint64_t)n_prompt, target = 7 * (uint64_t)n_ctx; /* eighths of tokens */
    uint64_t excess_bytes = (uint64_t)((double)body_bytes * (double)(sent - target) / (double)sent);
    size_t skipped = 0;
    for (uint64_t left_out = 0; skipped < turn_count && left_out < excess_bytes; skipped++)
        left_out += strlen(turns[skipped]);
    return skipped;
}
