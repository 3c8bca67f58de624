#include "wire/history.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "wire/history_message.h"
#include "wire/history_turn.h"
#include "wire/json_check.h"
#include "wire/json_member.h"

struct turn {
    struct json_view messages; /* not empty, each an object with a string role */
    struct json_view job;
    bool anew;   /* all elements before it are omitted */
    size_t size; /* bytes of the element's text */
};

static bool turn_read(const char *text, struct turn *ret)
{
    size_t size = strlen(text);
    if (!json_text_is_valid(text, size))
        return false;
    struct json_view root = json_view_of(text, text + size), at = {0};
    *ret = (struct turn){.messages = json_view_member(root, "messages"), .job = json_view_member(root, "job"),
                          .anew = json_view_type(json_view_member(root, "anew")) == JSON_TRUE, .size = size};
    if (!json_view_is_filled_array(ret->messages))
        return false;
    while (json_view_next(ret->messages, &at)) {
        struct json_view role = json_view_member(at, "role");
        if (json_view_type(role) != JSON_STRING || !json_view_is_filled(role) || history_message_is_empty(at))
            return false;
    }
    return true;
}

size_t history_drop_refused(char **turns, size_t turn_count)
{
    size_t first = turn_count;
    struct turn turn;
    while (first > 0) {
        const char *text = turns[--first]; /* only a candidate is parsed */
        if (strncmp(text, HISTORY_TURN_ANEW, sizeof HISTORY_TURN_ANEW - 1) == 0 && turn_read(text, &turn) && turn.anew)
            break;
    }
    for (size_t i = 0; i < first; i++)
        free(turns[i]);
    for (size_t i = first; i < turn_count; i++)
        turns[i - first] = turns[i];
    return turn_count - first;
}

static struct json_view first_of(struct json_view messages)
{
    struct json_view first = {0};
    (void)json_view_next(messages, &first);
    return first;
}

/* The tool calls a conversation waits for after messages, or none. */
static struct json_view open_calls(struct json_view messages)
{
    struct json_view at = {0}, last = {0};
    while (json_view_next(messages, &at))
        last = at;
    struct json_view calls = json_view_member(last, "tool_calls");
    return json_view_is_filled_array(calls) ? calls : (struct json_view){0};
}

/* Is there a result for the call of that id among the `tool` messages from first on? */
static bool has_result(struct json_view messages, struct json_view first, struct json_view id)
{
    for (struct json_view at = first; history_message_has_role(at, "tool"); json_view_next(messages, &at)) {
        struct json_view to = json_view_member(at, "tool_call_id");
        if (json_view_type(to) == JSON_STRING && json_view_compare(to, id) == 0)
            return true;
    }
    return false;
}

/* Do the tool results at the beginning of messages (behind system messages) answer every one of calls? */
static bool answers(struct json_view messages, struct json_view calls)
{
    struct json_view first = first_of(messages), call = {0};
    while (history_message_is_system(first))
        json_view_next(messages, &first);
    if (!history_message_has_role(first, "tool"))
        return false;
    while (json_view_next(calls, &call)) {
        struct json_view id = json_view_member(call, "id"); /* a server without ids: a result at all must do */
        if (json_view_type(id) == JSON_STRING && !has_result(messages, first, id))
            return false;
    }
    return true;
}

/* Drops turns with unanswered calls, from the newest back: dropping one may leave the one before it
 * unanswered. Packs the remaining ones at the end of turns and returns the index of the first. */
static size_t drop_unanswered(struct turn *turns, size_t count, struct json_view new_messages)
{
    struct json_view next = new_messages;
    size_t kept = count;
    for (size_t i = count; i-- > 0;) {
        struct json_view calls = open_calls(turns[i].messages);
        if (calls.size > 0 && !answers(next, calls))
            continue;
        next = turns[i].messages;
        turns[--kept] = turns[i];
    }
    return kept;
}

static void write_messages(struct json_writer *out, struct json_view messages)
{
    struct json_view at = {0};
    while (json_view_next(messages, &at))
        json_write_view(out, NULL, at);
}

void history_append(struct json_writer *out, char *const *turns, size_t turn_count, int64_t bytes_max, const struct job *job)
{
    if (turn_count == 0)
        return;
    AUTO_FREE struct turn *read = xcalloc(turn_count, sizeof *read);
    size_t count = 0;
    for (size_t i = 0; i < turn_count; i++) {
        if (!turn_read(turns[i], &read[count]))
            continue;
        if (json_view_is(read[count].job, job->id))
            break;
        count++;
    }

    size_t first = 0;
    for (size_t i = 0; i < count; i++)
        first = read[i].anew ? i : first;
    if (bytes_max >= 0) {
        uint64_t bytes = 0;
        size_t earliest = first;
        for (first = count; first > earliest && bytes + read[first - 1].size <= (uint64_t)bytes_max; first--)
            bytes += read[first - 1].size;
    }
    first += drop_unanswered(read + first, count - first, json_view_of_text(job->messages));

    bool begun = false;
    struct json_view before = {0}; /* the last element used */
    for (size_t i = first; i < count; i++) {
        struct json_view opening = first_of(read[i].messages);
        begun = begun || history_message_has_role(opening, "user");
        bool fits = true;
        if (begun && history_message_has_role(opening, "tool")) {
            struct json_view calls = open_calls(before);
            fits = calls.size > 0 && answers(read[i].messages, calls);
        }
        if (begun && fits) {
            write_messages(out, read[i].messages);
            before = read[i].messages;
        }
    }
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
