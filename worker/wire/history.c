#include "wire/history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "wire/json_check.h"
#include "wire/json_member.h"

/* Elements of an earlier form are marked "plain" and may hold an answer that says nothing: those are parsed. */
#define MARK "{\"xxh3\":\""
#define MARK_DIGITS 16
#define ANEW "{\"anew\":true," /* how history_turn_encode begins an element that begins anew */

/* ---- messages ---- */

static bool has_role(struct json_view message, const char *role)
{
    return json_view_is(json_view_member(message, "role"), role);
}

bool history_is_system(struct json_view message)
{
    struct json_view role = json_view_member(message, "role");
    return json_view_is(role, "system") || json_view_is(role, "developer");
}

static bool is_filled_array(struct json_view value)
{
    return json_view_type(value) == JSON_ARRAY && json_view_is_filled(value);
}

static bool is_blank(struct json_view string)
{
    size_t size;
    AUTO_FREE char *text = json_view_decode(string, &size);
    return strspn(text, " \t\r\n") == size;
}

/* A string with more than white space, or something within that has one; what a part's `type` says doesn't count. Recurses as
 * deep as the value is nested (JSON_DEPTH_MAX). */
static bool says_something(struct json_view value)
{
    int type = json_view_type(value);
    if (type == JSON_STRING)
        return !is_blank(value);
    struct json_view element = {0};
    while (type == JSON_ARRAY && json_view_next(value, &element))
        if (says_something(element))
            return true;
    struct json_member member = {.at = value.text, .end = value.text + value.size};
    while (type == JSON_OBJECT && json_member_next(&member))
        if (!json_member_is(&member, "type") && says_something((struct json_view){member.value, member.value_size}))
            return true;
    return false;
}

/* An assistant's, without text, refusal and calls. */
static bool is_empty(struct json_view message)
{
    enum { ROLE, TOOL_CALLS, FUNCTION_CALL, CONTENT, REFUSAL, MEMBERS };
    static const char *const names[MEMBERS] = {"role", "tool_calls", "function_call", "content", "refusal"};
    struct json_view of[MEMBERS];
    json_view_members(message, names, MEMBERS, of);
    return json_view_is(of[ROLE], "assistant") && !is_filled_array(of[TOOL_CALLS]) && json_view_type(of[FUNCTION_CALL]) != JSON_OBJECT &&
           !says_something(of[CONTENT]) && !says_something(of[REFUSAL]);
}

/* ---- histories that are parsed ---- */

struct turn {
    struct json_view messages; /* not empty, each an object with a string role */
    struct json_view job;
    bool anew;   /* nothing before it counts */
    size_t size; /* bytes of the element's text */
};

static struct json_view view_of(const char *text)
{
    return json_view_of(text, text + strlen(text));
}

static bool turn_read(const char *text, struct turn *ret)
{
    size_t size = strlen(text);
    if (!json_text_is_valid(text, size))
        return false;
    struct json_view root = json_view_of(text, text + size), at = {0};
    *ret = (struct turn){.messages = json_view_member(root, "messages"), .job = json_view_member(root, "job"),
                          .anew = json_view_type(json_view_member(root, "anew")) == JSON_TRUE, .size = size};
    if (!is_filled_array(ret->messages))
        return false;
    while (json_view_next(ret->messages, &at)) {
        struct json_view role = json_view_member(at, "role");
        if (json_view_type(role) != JSON_STRING || !json_view_is_filled(role) || is_empty(at))
            return false;
    }
    return true;
}

size_t history_drop_refused(char **turns, size_t turn_count)
{
    size_t first = turn_count;
    struct turn turn;
    while (first > 0) {
        const char *text = turns[--first]; /* only what may be one is parsed */
        if (strncmp(text, ANEW, sizeof ANEW - 1) == 0 && turn_read(text, &turn) && turn.anew)
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
    return is_filled_array(calls) ? calls : (struct json_view){0};
}

/* Is there a result for the call of that id among the `tool` messages from first on? */
static bool has_result(struct json_view messages, struct json_view first, struct json_view id)
{
    for (struct json_view at = first; has_role(at, "tool"); json_view_next(messages, &at)) {
        struct json_view to = json_view_member(at, "tool_call_id");
        if (json_view_type(to) == JSON_STRING && json_view_compare(to, id) == 0)
            return true;
    }
    return false;
}

/* Do the tool results that messages begin with (behind system messages) answer every one of calls? */
static bool answers(struct json_view messages, struct json_view calls)
{
    struct json_view first = first_of(messages), call = {0};
    while (history_is_system(first))
        json_view_next(messages, &first);
    if (!has_role(first, "tool"))
        return false;
    while (json_view_next(calls, &call)) {
        struct json_view id = json_view_member(call, "id"); /* a server without ids: a result at all must do */
        if (json_view_type(id) == JSON_STRING && !has_result(messages, first, id))
            return false;
    }
    return true;
}

/* Drops turns whose calls nothing answers, from the newest back: dropping one may leave the one before it
 * unanswered. Packs those that stay at the end of turns and returns the index of the first. */
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
    first += drop_unanswered(read + first, count - first, view_of(job->messages));

    bool begun = false;
    struct json_view before = {0}; /* the element used last */
    for (size_t i = first; i < count; i++) {
        struct json_view opening = first_of(read[i].messages);
        begun = begun || has_role(opening, "user");
        bool fits = true;
        if (begun && has_role(opening, "tool")) {
            struct json_view calls = open_calls(before);
            fits = calls.size > 0 && answers(read[i].messages, calls);
        }
        if (begun && fits) {
            write_messages(out, read[i].messages);
            before = read[i].messages;
        }
    }
}

/* ---- what is stored ---- */

/* Says nothing to whoever gets it back: null, "", [], {}. */
static bool is_void(const json_t *value)
{
    return json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0) || (json_is_object(value) && json_object_size(value) == 0);
}

/* Apart from role, content and calls: with calls all that says something, since the provider may want it back; else what others
 * take as input, too. */
static bool is_kept(const char *name, const json_t *value, bool with_calls)
{
    static const char *const written[] = {"role", "content", "tool_calls"}, *const always[] = {"name", "refusal"};
    for (size_t i = 0; i < sizeof written / sizeof written[0]; i++)
        if (strcmp(name, written[i]) == 0)
            return false;
    bool named = with_calls;
    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
        named = named || strcmp(name, always[i]) == 0;
    return named && !is_void(value);
}

static bool is_blank_tree(const json_t *value)
{
    size_t size = json_string_length(value);
    return value == NULL || is_void(value) || (json_is_string(value) && strspn(json_string_value(value), " \t\r\n") == size);
}

/* The answer as it may be sent again. Servers add members that they or others refuse as input (`reasoning_content`, an empty
 * `tool_calls`). A refusal is its text, too: who doesn't know the member would see an empty message. */
static void write_answer(struct json_writer *turn, const json_t *answer)
{
    const json_t *content = json_object_get(answer, "content");
    const json_t *refusal = json_object_get(answer, "refusal");
    const json_t *calls = json_object_get(answer, "tool_calls");
    bool with_calls = json_array_size(calls) > 0 || json_is_object(json_object_get(answer, "function_call"));
    const char *name;
    json_t *value;
    json_write_open(turn, NULL);
    json_write_text(turn, "role", "assistant");
    if (!with_calls && is_blank_tree(content) && !is_blank_tree(refusal))
        content = refusal;
    if ((content == NULL || json_is_null(content)) && !with_calls)
        json_write_text(turn, "content", "");
    else if (content != NULL)
        json_write_tree(turn, "content", content);
    if (json_array_size(calls) > 0)
        json_write_tree(turn, "tool_calls", calls);
    json_object_foreach((json_t *)(uintptr_t)answer, name, value)
        if (is_kept(name, value, with_calls))
            json_write_member(turn, name, value);
    json_write_close(turn);
}

static bool is_stored(struct json_view message)
{
    return !history_is_system(message) && !is_empty(message);
}

/* Nothing in it that later messages must match. */
static bool is_plain(struct json_view messages, const json_t *answer)
{
    struct json_view at = {0}, opening = {0};
    while (json_view_next(messages, &at)) {
        if (!is_stored(at))
            continue;
        if ((!has_role(at, "user") && !has_role(at, "assistant")) || json_view_member(at, "tool_calls").size > 0)
            return false;
        opening = opening.size > 0 ? opening : at;
    }
    return has_role(opening, "user") && json_array_size(json_object_get(answer, "tool_calls")) == 0;
}

/* The checksum, in the place of the digits behind MARK. */
static void put_checksum(char *element, size_t size)
{
    char digits[MARK_DIGITS + 1];
    size_t from = strlen(MARK) + MARK_DIGITS + 2; /* a quote, a comma */
    snprintf(digits, sizeof digits, "%016" PRIx64, (uint64_t)XXH3_64bits(element + from, size - from));
    memcpy(element + strlen(MARK), digits, MARK_DIGITS);
}

char *history_turn_encode(const struct job *job, const json_t *answer, bool anew)
{
    struct json_writer turn = {0};
    struct json_view messages = view_of(job->messages), at = {0};
    bool plain = !anew && is_plain(messages, answer);
    json_writer_reserve(&turn, messages.size + 512);
    json_write_open(&turn, NULL);
    if (plain)
        json_write_text(&turn, "xxh3", "0123456789abcdef");
    if (anew)
        json_write_bool(&turn, "anew", true);
    json_write_text(&turn, "job", job->id);
    json_write_open_array(&turn, "messages");
    while (json_view_next(messages, &at))
        if (is_stored(at))
            json_write_view(&turn, NULL, at);
    size_t before = turn.size;
    write_answer(&turn, answer);
    const char *written = turn.text + before;
    if (is_empty(json_view_of(written + (*written == ','), turn.text + turn.size))) {
        free(turn.text);
        return NULL;
    }
    json_write_close_array(&turn);
    json_write_close(&turn);
    if (plain)
        put_checksum(turn.text, turn.size);
    return turn.text;
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
    size_t mark = strlen(MARK);
    size_t size = strlen(element);
    size_t from = mark + MARK_DIGITS + 2;
    if (size < from || strncmp(element, MARK, mark) != 0)
        return false;
    const char *rest = element + from;
    if (strtoull(element + mark, NULL, 16) != XXH3_64bits(rest, size - from) || strncmp(rest, "\"job\":\"", 7) != 0)
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
    if (element + size - ret->messages <= 2)
        return false;
    ret->size = (size_t)(element + size - 2 - ret->messages);
    ret->element_size = size;
    ret->is_own = strlen(id_text) == (size_t)(after - id) && memcmp(id, id_text, (size_t)(after - id)) == 0;
    return true;
}

bool history_splice(struct json_writer *out, char *const *turns, size_t turn_count, int64_t bytes_max, const struct job *job)
{
    struct json_writer id = {0};
    json_write_text(&id, NULL, job->id);
    AUTO_FREE char *id_text = id.text;
    AUTO_FREE struct plain_turn *plain = xcalloc(turn_count, sizeof *plain);
    size_t count = 0;
    for (; count < turn_count; count++) {
        if (!plain_turn_read(turns[count], id_text, &plain[count]))
            return false;
        if (plain[count].is_own)
            break;
    }
    uint64_t bytes = 0;
    size_t first = count;
    for (; first > 0 && (bytes_max < 0 || bytes + plain[first - 1].element_size <= (uint64_t)bytes_max); first--)
        bytes += plain[first - 1].element_size;
    for (size_t i = first; i < count; i++)
        json_write_view(out, NULL, (struct json_view){plain[i].messages, plain[i].size});
    return true;
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
