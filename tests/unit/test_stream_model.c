/* A stream loses nothing: random answers, cut into chunks as servers cut them, fold to the message of the whole answer, and the text
 * published on the way is theirs. CHAT_ANSWERS: how many (4000); CHAT_TEST_SEED: the first one's seed (1). */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "llm/llm_response.h"
#include "llm/said_text.h"
#include "llm/sse_parser.h"
#include "llm/stream_fold.h"
#include "wire/json_writer.h"

#define PIECES_MAX 256
#define MEMBERS_MAX 24

static unsigned seed, drawn;

static int draw(int below)
{
    return (int)((unsigned)rand_r(&drawn) % (unsigned)below);
}

static bool one_in(int n)
{
    return draw(n) == 0;
}

#define PICK(array) array[draw((int)(sizeof array / sizeof *array))]

/* ---- answers ---- */

static json_t *random_text(int words_max)
{
    static const char *const words[] = {"a", "word ", "\"", "\\", "\n", "é", "日本", "\xf0\x9f\x98\x80", "\xf0\x9f\x92\x9a\xf0\x9f\x98\x80", "{}", "[DONE]", "data: ", "\x01", "\xef\xbf\xbd", "\x7f", "", "0"};
    struct text_buffer text = {0};
    for (int n = draw(words_max + 1); n > 0; n--) {
        const char *word = PICK(words);
        text_buffer_append(&text, word, *word == '\0' ? 1 : strlen(word)); /* a NUL, too */
    }
    json_t *made = json_stringn(text_buffer_text(&text), text.size);
    text_buffer_finish(&text);
    return made;
}

static json_t *some_text(int words_max)
{
    json_t *text = random_text(words_max);
    if (json_string_length(text) > 0)
        return text;
    json_decref(text);
    return json_string("x");
}

/* Members and elements without any rule; no part of text, which may be a piece. */
static json_t *random_value(int depth)
{
    static const char *const names[] = {"a", "b", "note", "é", "id", "type", "signature", "url", "n", "thought_signature"};
    json_t *made;
    switch (draw(depth > 0 ? 9 : 6)) {
    case 0: return json_null();
    case 1: return json_integer(draw(1000) - 500);
    case 2: return json_real(draw(1000) / 8.0);
    case 3: return json_boolean(draw(2));
    case 4:
    case 5: return random_text(5);
    case 6:
        made = json_array();
        for (int n = draw(4); n > 0; n--)
            json_array_append_new(made, random_value(depth - 1));
        return made;
    default:
        made = json_object();
        for (int n = draw(4); n > 0; n--)
            json_object_set_new(made, PICK(names), random_value(depth - 1));
        return made;
    }
}

static json_t *random_parts(void)
{
    json_t *parts = json_array();
    for (int n = draw(4), last = -1; n >= 0; n--) {
        int kind = draw(3);
        json_t *text = some_text(6);
        if (kind == 0 && last != 0)
            json_array_append_new(parts, json_pack("{s:s, s:O}", "type", "text", "text", text));
        else if (kind == 1 && last != 1)
            json_array_append_new(parts, json_pack("{s:s, s:[{s:s, s:O}]}", "type", "thinking", "thinking", "type", "text", "text", text));
        else
            json_array_append_new(parts, json_pack("{s:s, s:{s:O}}", "type", "image_url", "image_url", "url", text));
        last = kind == 0 && last != 0 ? 0 : kind == 1 && last != 1 ? 1 : 2;
        json_decref(text);
    }
    return parts;
}

static json_t *random_indexed(void)
{
    static const char *const types[] = {"reasoning.text", "reasoning.summary", "reasoning.encrypted"};
    json_t *array = json_array();
    for (int i = 0, n = 1 + draw(3); i < n; i++) {
        json_t *element = json_pack("{s:i, s:s, s:o}", "index", i, "type", PICK(types), "text", random_text(8));
        if (one_in(2))
            json_object_set_new(element, "extra", random_value(2));
        json_array_append_new(array, element);
    }
    return array;
}

enum calls { BY_INDEX, BY_NEW_ID, BY_ID, WHOLE_CALLS, CALL_STYLES };

static json_t *random_function(int number)
{
    static const char *const names[] = {"get_weather", "é", "search", "f"};
    char name[64];
    snprintf(name, sizeof name, "%s%d", PICK(names), number);
    json_t *function = json_pack("{s:s}", "name", name);
    if (one_in(4))
        json_object_set_new(function, "arguments", json_pack("{s:o, s:o}", "q", random_value(2), "city", some_text(3)));
    else
        json_object_set_new(function, "arguments", some_text(8));
    if (one_in(4))
        json_object_set_new(function, "thought_signature", some_text(3));
    return function;
}

static json_t *random_calls(enum calls style)
{
    json_t *calls = json_array();
    for (int i = 0, n = 1 + draw(4); i < n; i++) {
        char id[32];
        snprintf(id, sizeof id, "call_%d", i);
        json_t *call = json_pack("{s:s, s:o}", "type", "function", "function", random_function(i));
        if (style != WHOLE_CALLS)
            json_object_set_new(call, "id", json_string(id));
        if (one_in(4))
            json_object_set_new(call, "extra_content", random_value(3));
        json_array_append_new(calls, call);
    }
    return calls;
}

static json_t *random_content(void)
{
    switch (draw(8)) {
    case 0: return json_null();
    case 1: return json_string("");
    case 2:
    case 3: return random_parts();
    case 4: return json_pack("{s:s, s:o}", "type", "text", "text", some_text(6));
    default: return some_text(30);
    }
}

static json_t *random_message(enum calls style)
{
    static const char *const unknown[] = {"annotations", "audio", "images", "citations", "metadata", "é", "tool_plan", "reasoning_signature", "parts"};
    json_t *message = json_object();
    if (!one_in(6))
        json_object_set_new(message, "role", json_string("assistant"));
    if (!one_in(6))
        json_object_set_new(message, "content", random_content());
    if (one_in(5))
        json_object_set_new(message, "refusal", one_in(2) ? json_null() : random_text(6));
    for (int i = 0; i < SAID_REASONING_NAMES; i++)
        if (one_in(6))
            json_object_set_new(message, said_reasoning_names[i], one_in(6) ? random_value(2) : random_text(20));
    if (one_in(5))
        json_object_set_new(message, "reasoning_details", random_indexed());
    if (one_in(3))
        json_object_set_new(message, "tool_calls", one_in(8) ? json_array() : random_calls(style));
    if (one_in(10))
        json_object_set_new(message, "function_call", random_function(0));
    while (one_in(2))
        json_object_set_new(message, PICK(unknown), random_value(3));
    return message;
}

/* ---- pieces: JSON values that make up one, in their order ---- */

struct pieces {
    char *items[PIECES_MAX];
    int count, next;
};

static void add(struct pieces *pieces, char *json)
{
    cr_assert_lt(pieces->count, PIECES_MAX);
    pieces->items[pieces->count++] = json;
}

static void finish(struct pieces *pieces)
{
    for (int i = 0; i < pieces->count; i++)
        free(pieces->items[i]);
    pieces->count = 0;
}

static char *written(const json_t *value)
{
    return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | (one_in(2) ? JSON_ENSURE_ASCII : 0));
}

/* As UTF-8, cut between any two bytes; or in escapes, cut between any two of them. */
static void cut_bytes(const char *text, size_t size, struct pieces *ret)
{
    for (size_t at = 0; at < size;) {
        size_t length = 1 + (size_t)draw((int)(size - at < 9 ? size - at : 9));
        if (ret->count > PIECES_MAX / 4)
            length = size - at;
        struct json_writer out = {0};
        json_write_bytes(&out, NULL, text + at, length);
        add(ret, out.text);
        at += length;
    }
}

static void cut_escapes(const json_t *text, struct pieces *ret)
{
    AUTO_FREE char *all = json_dumps(text, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    const char *end = all + strlen(all) - 1, *begin = all + 1;
    for (const char *at = begin; at < end;) {
        at += *at != '\\' ? 1 : at[1] == 'u' ? 6 : 2;
        if (at < end && (!one_in(4) || ret->count > PIECES_MAX / 4))
            continue;
        add(ret, xasprintf("\"%.*s\"", (int)(at - begin), begin));
        begin = at;
    }
}

static void cut_text(const json_t *text, struct pieces *ret)
{
    if (json_string_length(text) == 0 || one_in(4))
        add(ret, written(text));
    else if (one_in(2))
        cut_escapes(text, ret);
    else
        cut_bytes(json_string_value(text), json_string_length(text), ret);
}

static bool is_cut(const char *name)
{
    static const char *const whole[] = {"id", "type", "name", "role", "signature", "thought_signature", "reasoning_signature"};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (strcmp(name, whole[i]) == 0)
            return false;
    return true;
}

static void cut_value(const char *name, const json_t *value, struct pieces *ret);

/* Each member for itself; format: of the piece that holds its name and a piece of it. */
static void cut_members(const json_t *object, const char *format, struct pieces *ret)
{
    const char *name;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)object, name, member) {
        struct pieces of_member = {0};
        AUTO_JSON json_t *name_text = json_string(name);
        AUTO_FREE char *quoted = written(name_text);
        cut_value(name, member, &of_member);
        for (int i = 0; i < of_member.count; i++) {
            AUTO_FREE char *pair = xasprintf("%s:%s", quoted, of_member.items[i]);
            struct json_writer out = {0};
            json_write_view(&out, NULL, (struct json_view){format, strcspn(format, "@")});
            out.text = xrealloc(out.text, out.size + strlen(pair) + strlen(format) + 1);
            strcpy(out.text + out.size, pair);
            strcat(out.text, strchr(format, '@') + 1);
            add(ret, out.text);
        }
        finish(&of_member);
    }
}

static void cut_array(const json_t *array, struct pieces *ret)
{
    AUTO_JSON json_t *some = json_array();
    for (size_t i = 0; i < json_array_size(array); i++) {
        json_array_append(some, json_array_get(array, i));
        if (!one_in(2) && i + 1 < json_array_size(array))
            continue;
        add(ret, written(some));
        json_array_clear(some);
    }
}

static void cut_value(const char *name, const json_t *value, struct pieces *ret)
{
    if (json_is_string(value) && is_cut(name))
        cut_text(value, ret);
    else if (json_object_size(value) > 0 && one_in(2))
        cut_members(value, "{@}", ret);
    else if (json_array_size(value) > 0 && one_in(2))
        cut_array(value, ret);
    else
        add(ret, written(value));
}

/* Parts of text in pieces; beside others also as plain text. */
static void cut_parts(const json_t *parts, struct pieces *ret)
{
    size_t i;
    json_t *part;
    bool mixed = false;
    json_array_foreach(parts, i, part)
        mixed = mixed || json_object_get(part, "text") == NULL;
    json_array_foreach(parts, i, part) {
        json_t *text = json_object_get(part, "text");
        json_t *thinking = json_object_get(json_array_get(json_object_get(part, "thinking"), 0), "text");
        struct pieces of_text = {0};
        if (text == NULL && thinking == NULL) {
            add(ret, xasprintf("[%s]", of_text.items[0] = written(part)));
            free(of_text.items[0]);
            continue;
        }
        cut_text(text != NULL ? text : thinking, &of_text);
        bool plain = mixed && text != NULL && one_in(2);
        for (int n = 0; n < of_text.count; n++)
            add(ret, plain ? xstrdup(of_text.items[n])
                           : xasprintf(text != NULL ? "[{\"type\":\"text\",\"text\":%s}]" : "[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":%s}]}]",
                                       of_text.items[n]));
        finish(&of_text);
    }
}

static void cut_indexed(const json_t *array, struct pieces *ret)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        AUTO_JSON json_t *element = json_copy(json_array_get(array, i));
        json_object_del(element, "index");
        AUTO_FREE char *format = xasprintf("[{\"index\":%zu,@}]", i);
        cut_members(element, format, ret);
    }
}

/* ---- calls, as servers address them ---- */

static void cut_call(const json_t *call, int number, enum calls style, struct pieces *ret)
{
    const json_t *function = json_object_get(call, "function"), *arguments = json_object_get(function, "arguments");
    const char *id = json_string_value(json_object_get(call, "id")), *name = json_string_value(json_object_get(function, "name"));
    bool repeats = style != WHOLE_CALLS && one_in(4), late_id = style == BY_INDEX && one_in(4), in_pieces = style == BY_INDEX && !repeats && one_in(3);
    AUTO_FREE char *index = style == BY_INDEX ? xasprintf("\"index\":%d,", number) : xstrdup(style == BY_NEW_ID ? "\"index\":0," : "");
    AUTO_FREE char *own_id = xasprintf("\"id\":\"%s\",", id != NULL ? id : "");
    struct pieces of_arguments = {0};
    if (style == WHOLE_CALLS) {
        add(ret, xasprintf("[%s]", of_arguments.items[0] = written(call)));
        free(of_arguments.items[0]);
        return;
    }
    if (json_is_string(arguments))
        cut_text(arguments, &of_arguments);
    else
        add(&of_arguments, written(arguments));
    size_t first = in_pieces ? 1 + (size_t)draw((int)strlen(name)) : strlen(name);
    add(ret, xasprintf("[{%s%s\"type\":\"function\",\"function\":{\"name\":\"%.*s\"%s}}]", index, late_id ? "" : own_id, (int)first, name,
                       json_is_string(arguments) && !in_pieces && one_in(2) ? ",\"arguments\":\"\"" : ""));
    if (first < strlen(name))
        add(ret, xasprintf("[{%s\"function\":{\"name\":\"%s\"}}]", index, name + first));
    for (int i = 0; i < of_arguments.count; i++) {
        AUTO_FREE char *again = repeats ? xasprintf("\"name\":\"%s\",", name) : xstrdup("");
        add(ret, xasprintf("[{%s%s\"function\":{%s\"arguments\":%s}}]", index, style == BY_ID || (repeats && !late_id) ? own_id : "", again, of_arguments.items[i]));
    }
    finish(&of_arguments);
    if (json_object_get(function, "thought_signature") != NULL) {
        AUTO_FREE char *seal = written(json_object_get(function, "thought_signature"));
        add(ret, xasprintf("[{%s%s\"function\":{\"thought_signature\":%s}}]", index, style == BY_ID ? own_id : "", seal));
    }
    if (json_object_get(call, "extra_content") != NULL) {
        AUTO_FREE char *extra = written(json_object_get(call, "extra_content"));
        add(ret, xasprintf("[{%s%s\"extra_content\":%s}]", index, style == BY_ID ? own_id : "", extra));
    }
    if (late_id)
        add(ret, xasprintf("[{%s%s\"type\":null}]", index, own_id));
}

static void cut_calls(const json_t *calls, enum calls style, struct pieces *ret)
{
    struct pieces each[8] = {0};
    int count = (int)json_array_size(calls), left = 0, opened = 0;
    for (int i = 0; i < count; i++) {
        cut_call(json_array_get(calls, (size_t)i), i, style, &each[i]);
        left += each[i].count;
    }
    for (int at = 0; left > 0; left--) { /* interleaved where they can be distinguished */
        if (style == BY_INDEX || style == BY_ID)
            at = draw(style == BY_ID && opened < count ? opened + 1 : count); /* ids come in their order */
        while (each[at].next == each[at].count)
            at = (at + 1) % count;
        opened = at == opened ? opened + 1 : opened;
        add(ret, each[at].items[each[at].next++]);
    }
    if (count == 0)
        add(ret, written(calls));
}

/* ---- streams ---- */

static void put(struct text_buffer *out, const char *text)
{
    text_buffer_append(out, text, strlen(text));
}

static void put_event(struct text_buffer *out, const char *line_end, const char *json)
{
    if (one_in(10))
        put(out, one_in(2) ? ": wait\n\n" : "event: ping\ndata: ping\n\n");
    if (one_in(10))
        put(out, "event: chunk\n");
    put(out, one_in(2) ? "data: " : "data:");
    put(out, json);
    put(out, line_end);
    put(out, line_end);
}

static void put_delta(struct text_buffer *out, const char *line_end, const char *place, const char *delta)
{
    AUTO_FREE char *json = xasprintf("{\"model\":\"m\",\"seed\":11832514629345358488,\"choices\":[{\"index\":0,\"%s\":{%s},\"finish_reason\":null}]}", place, delta);
    put_event(out, line_end, json);
}

static void cut_member(const char *name, const json_t *value, enum calls style, struct pieces *ret)
{
    if (strcmp(name, "tool_calls") == 0)
        cut_calls(value, style, ret);
    else if (strcmp(name, "content") == 0 && json_is_array(value))
        cut_parts(value, ret);
    else if (strcmp(name, "reasoning_details") == 0)
        cut_indexed(value, ret);
    else if (strcmp(name, "function_call") == 0)
        cut_members(value, "{@}", ret);
    else
        cut_value(name, value, ret);
}

/* The members' pieces, each member's in their order, one or several to a delta. */
static void put_deltas(struct text_buffer *out, const char *line_end, const json_t *message, enum calls style)
{
    static struct pieces members[MEMBERS_MAX];
    const char *names[MEMBERS_MAX], *name;
    json_t *value;
    int count = 0, left = 0;
    json_object_foreach((json_t *)(uintptr_t)message, name, value) {
        members[count] = (struct pieces){0};
        cut_member(name, value, style, &members[count]);
        left += members[count].count;
        names[count++] = name;
    }
    while (left > 0) {
        struct text_buffer delta = {0};
        for (int i = draw(count), tried = 0; tried < count; tried++, i = (i + 1) % count) {
            if (members[i].next == members[i].count || (delta.size > 0 && !one_in(4)))
                continue;
            AUTO_FREE char *pair = xasprintf("%s\"%s\":%s", delta.size > 0 ? "," : "", names[i], members[i].items[members[i].next++]);
            put(&delta, pair);
            left--;
        }
        put_delta(out, line_end, "delta", text_buffer_text(&delta));
        text_buffer_finish(&delta);
    }
    for (int i = 0; i < count; i++)
        finish(&members[i]);
}

static struct text_buffer streamed(const json_t *message, enum calls style)
{
    static const char *const line_ends[] = {"\n", "\r\n", "\r"};
    struct text_buffer out = {0};
    const char *line_end = PICK(line_ends);
    AUTO_FREE char *whole = written(message);
    whole[strlen(whole) - 1] = '\0'; /* its members */
    bool in_one = one_in(10);
    if (one_in(4))
        put(&out, "\xef\xbb\xbf");
    if (!in_one)
        put_deltas(&out, line_end, message, style);
    if (in_one || one_in(10)) /* repeated behind its deltas */
        put_delta(&out, line_end, "message", whole + 1);
    put_event(&out, line_end, "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}");
    if (one_in(2))
        put_event(&out, line_end, "[DONE]");
    if (one_in(3)) /* without the last blank line */
        out.size -= strlen(line_end) * (size_t)(1 + draw(2));
    return out;
}

/* ---- the property ---- */

static bool hear(void *arg, const struct sse_event *event)
{
    return stream_fold_event(arg, event);
}

static void take_news(struct stream_fold *fold, struct text_buffer told[STREAM_CHANNELS])
{
    struct stream_news news;
    stream_fold_news(fold, &news);
    for (int i = 0; i < STREAM_CHANNELS; i++)
        if (news.size[i] > 0) {
            AUTO_JSON json_t *piece = json_stringn(news.text[i], news.size[i]);
            cr_assert_not_null(piece, "seed %u: a piece is UTF-8", seed);
            text_buffer_append(&told[i], news.text[i], news.size[i]);
        }
}

static void expect_same(const struct text_buffer *got, const struct text_buffer *want, const char *what, const char *whole)
{
    cr_assert(got->size == want->size && memcmp(text_buffer_text(got), text_buffer_text(want), got->size) == 0, "seed %u: %s told of %s is %s", seed, what, whole,
              text_buffer_text(got));
}

/* Reasoning under several names, or in parts, has no order of its own. */
static bool has_one_reasoning(const json_t *message)
{
    int count = json_is_array(json_object_get(message, "content")) + (json_object_get(message, "reasoning_details") != NULL);
    for (int i = 0; i < SAID_REASONING_NAMES; i++)
        count += json_object_get(message, said_reasoning_names[i]) != NULL;
    return count == 1;
}

static void live(void)
{
    enum calls style = (enum calls)draw(CALL_STYLES);
    AUTO_JSON json_t *message = random_message(style);
    AUTO_FREE char *text = json_dumps(message, JSON_COMPACT);
    AUTO_FREE char *body = xasprintf("{\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":%s,\"finish_reason\":\"stop\"}]}", text);
    struct text_buffer stream = streamed(message, style), told[STREAM_CHANNELS] = {0}, want[STREAM_CHANNELS] = {0};
    struct llm_answer whole = {0}, folded = {0};
    struct error err = {0};
    struct sse_parser parser;
    struct stream_fold fold;
    struct sse_event last;
    cr_assert_eq(llm_response_decode(body, strlen(body), &whole, NULL, &err), STATUS_OK, "seed %u: %s: %s", seed, err.message, body);
    sse_parser_init(&parser, 1 << 20);
    stream_fold_init(&fold, 1 << 20);
    for (size_t at = 0; at < stream.size;) {
        size_t length = 1 + (size_t)draw(200);
        length = length < stream.size - at ? length : stream.size - at;
        (void)!sse_parser_feed(&parser, stream.bytes + at, length, hear, &fold);
        take_news(&fold, told);
        at += length;
    }
    if (sse_parser_pending(&parser, &last))
        stream_fold_last_event(&fold, &last);
    enum status status = stream_fold_end(&fold, true, &folded, NULL, &err);
    take_news(&fold, told);
    cr_assert_eq(status, STATUS_OK, "seed %u: %s: %.*s", seed, err.message, (int)stream.size, stream.bytes);
    AUTO_FREE char *got = json_dumps(folded.message, JSON_COMPACT), *wanted = json_dumps(whole.message, JSON_COMPACT);
    cr_assert_not_null(got, "seed %u: what is written is JSON", seed);
    cr_assert(json_equal(folded.message, whole.message), "seed %u:\n%s instead of\n%s from\n%.*s", seed, got, wanted, (int)stream.size, stream.bytes);
    said_text_of_message(whole.message, &want[STREAM_CHANNEL_TEXT], &want[STREAM_CHANNEL_REASONING]);
    expect_same(&told[STREAM_CHANNEL_TEXT], &want[STREAM_CHANNEL_TEXT], "the text", wanted);
    if (has_one_reasoning(whole.message))
        expect_same(&told[STREAM_CHANNEL_REASONING], &want[STREAM_CHANNEL_REASONING], "the reasoning", wanted);
    for (int i = 0; i < STREAM_CHANNELS; i++) {
        text_buffer_finish(&told[i]);
        text_buffer_finish(&want[i]);
    }
    text_buffer_finish(&stream);
    stream_fold_finish(&fold);
    sse_parser_finish(&parser);
    llm_answer_finish(&whole);
    llm_answer_finish(&folded);
}

static unsigned number_of(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

Test(stream_model, folds_to_what_the_whole_would_have_been)
{
    unsigned first = number_of("CHAT_TEST_SEED", 1), count = number_of("CHAT_ANSWERS", 4000);
    for (seed = first; seed < first + count; seed++) {
        drawn = seed;
        live();
    }
}
