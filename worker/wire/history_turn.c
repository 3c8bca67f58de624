#include "wire/history_turn.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "wire/history_message.h"
#include "wire/json_view.h"

/* Elements in an earlier format are marked "plain" and may contain an empty answer: those are parsed. */
#define MARK "{\"xxh3\":\""
#define MARK_DIGITS 16

/* Is the value empty: null, "", [], {}? */
static bool is_void(const json_t *value)
{
    return json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0) || (json_is_object(value) && json_object_size(value) == 0);
}

/* Members besides role, content and calls: with calls all that aren't empty, since the provider may require them; else those that other providers
 * accept as input, too. */
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

/* The answer in a form that may be sent again. Servers add members that they or others refuse as input (`reasoning_content`, an empty
 * `tool_calls`). A refusal becomes the content, too: a provider that doesn't know the member would see an empty message. */
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
    return !history_message_is_system(message) && !history_message_is_empty(message);
}

/* Has it no calls, which later messages must answer? */
static bool is_plain(struct json_view messages, const json_t *answer)
{
    struct json_view at = {0}, opening = {0};
    while (json_view_next(messages, &at)) {
        if (!is_stored(at))
            continue;
        if ((!history_message_has_role(at, "user") && !history_message_has_role(at, "assistant")) || json_view_member(at, "tool_calls").size > 0)
            return false;
        opening = opening.size > 0 ? opening : at;
    }
    return history_message_has_role(opening, "user") && json_array_size(json_object_get(answer, "tool_calls")) == 0;
}

/* Replaces the digits behind MARK by the checksum. */
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
    struct json_view messages = json_view_of_text(job->messages), at = {0};
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
    if (history_message_is_empty(json_view_of(written + (*written == ','), turn.text + turn.size))) {
        free(turn.text);
        return NULL;
    }
    json_write_close_array(&turn);
    json_write_close(&turn);
    if (plain)
        put_checksum(turn.text, turn.size);
    return turn.text;
}

/* ---- used without parsing ---- */

/* A marked element with the right checksum: its messages' text without the brackets. */
struct plain_turn {
    const char *messages;
    size_t size;
    size_t element_size;
    bool is_own; /* the present job's own */
};

/* id_text: the present job's id as JSON. */
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
    /* The checksum is right, so history_turn_encode wrote it: a string, then the messages, then "]}". */
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

bool history_turn_splice(struct json_writer *out, char *const *turns, size_t turn_count, int64_t bytes_max, const struct job *job)
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
