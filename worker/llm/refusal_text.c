#include "llm/refusal_text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "llm/cut_json.h"
#include "llm/refusal_members.h"
#include "llm/refusal_reasons.h"
#include "llm/refusal_wait.h"
#include "wire/json_text.h"

#define NODES_MAX 512 /* values that are visited */
#define DEPTH_MAX 10
#define TEXT_BYTES_MAX 4096 /* of a body or text that isn't JSON */

/* ---- reasons ---- */

static bool is_letter(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

static bool is_identifier(const char *text, size_t size)
{
    bool is = size > 0 && size < sizeof((struct refusal_reason *)0)->word;
    for (size_t i = 0; is && i < size; i++)
        is = is_letter(text[i]);
    return is;
}

static void add_reason(struct refusal_text *said, const char *word, size_t size, enum refusal_place place)
{
    if (said->reason_count == REFUSAL_REASONS_MAX || !is_identifier(word, size))
        return;
    struct refusal_reason *reason = &said->reasons[said->reason_count++];
    memcpy(reason->word, word, size);
    reason->word[size] = '\0';
    reason->place = place;
    said->has_words = true;
}

static void add_number(struct refusal_text *said, int64_t number, enum refusal_place place)
{
    char word[24];
    if (number >= 400 && number <= 599 && place != REFUSAL_BASE_RESP) {
        if (said->status_count < REFUSAL_STATUSES_MAX)
            said->statuses[said->status_count++] = (int)number;
        said->has_words = true;
        return;
    }
    if (number == 0 || (number >= 200 && number < 300)) /* success */
        return;
    add_reason(said, word, (size_t)snprintf(word, sizeof word, "%lld", (long long)number), place);
}

/* Known reasons within a text that are clearly identifiers: "litellm.RateLimitError", "code: insufficient_quota". */
static void find_reasons(struct refusal_text *said, const char *text, size_t size)
{
    for (size_t i = 0; i < size;) {
        size_t length = 0;
        while (i + length < size && is_letter(text[i + length]))
            length++;
        if (length > 5 && refusal_reason_is_distinct(text + i, length))
            add_reason(said, text + i, length, REFUSAL_IN_TEXT);
        i += length > 0 ? length : 1;
    }
}

/* ---- texts ---- */

static void put_own(struct refusal_text *said, const char *text, size_t size)
{
    static const char between[] = " | ";
    said->own[said->own_size] = '\0';
    if (size == 0 || memmem(said->own, said->own_size, text, size) != NULL)
        return;
    if (said->own_size > 0 && said->own_size + sizeof between < sizeof said->own) {
        memcpy(said->own + said->own_size, between, sizeof between - 1);
        said->own_size += sizeof between - 1;
    }
    size_t room = sizeof said->own - 1 - said->own_size;
    memcpy(said->own + said->own_size, text, size < room ? size : room);
    said->own_size += size < room ? size : room;
}

static void walk(struct refusal_text *said, const json_t *value, enum member_meaning member, bool base_resp, int depth);

/* Searches JSON within a text, alone or behind some words. */
static bool walk_within(struct refusal_text *said, const char *text, size_t size, enum member_meaning member, int depth, bool *ret_whole)
{
    const char *from = memchr(text, '{', size);
    const char *to = from != NULL ? memrchr(from, '}', size - (size_t)(from - text)) : NULL;
    *ret_whole = false;
    if (to == NULL)
        return false;
    if (from > text && from[-1] == '[' && (size_t)(to + 1 - text) < size && to[1] == ']') {
        from--;
        to++;
    }
    AUTO_JSON json_t *inner = json_text_load(from, (size_t)(to + 1 - from));
    if (inner == NULL)
        return false;
    *ret_whole = strspn(text, " \t\r\n") == (size_t)(from - text);
    walk(said, inner, member, false, depth + 1);
    return true;
}

static bool is_blank(const char *text, size_t size)
{
    while (size > 0 && isspace((unsigned char)text[size - 1]))
        size--;
    return size == 0;
}

static void take_text(struct refusal_text *said, const char *text, size_t size, int depth)
{
    bool whole = false;
    if (is_blank(text, size))
        return;
    if (size > TEXT_BYTES_MAX)
        size = TEXT_BYTES_MAX;
    size_t at = said->own_size;
    bool within = depth < DEPTH_MAX && memchr(text, '{', size) != NULL;
    if (within && walk_within(said, text, size, MEANS_TEXT, depth, &whole) && whole && said->own_size > at)
        return; /* its own texts are taken */
    said->has_words = true;
    put_own(said, text, size);
    plain_words_put(&said->words, text, size);
    find_reasons(said, text, size);
    int64_t wait_ms = refusal_wait_in_text(text, size);
    if (said->wait_ms < 0)
        said->wait_ms = wait_ms;
}

static void take_reason(struct refusal_text *said, const char *text, size_t size, enum member_meaning member, bool base_resp, int depth)
{
    enum refusal_place place = base_resp ? REFUSAL_BASE_RESP : member == MEANS_CODE ? REFUSAL_CODE : REFUSAL_TYPE;
    if (!is_identifier(text, size)) { /* xAI sends a sentence as code */
        take_text(said, text, size, depth);
    } else if (size <= 9 && strspn(text, "0123456789") == size) {
        add_number(said, strtoll(text, NULL, 10), place);
    } else {
        enum failure_kind kind = FAILURE_NONE;
        add_reason(said, text, size, place);
        bool empty = said->reason_count > 0 && refusal_reason_look(&said->reasons[said->reason_count - 1], &kind) == REASON_VAGUE && kind == FAILURE_REQUEST;
        if (!empty) /* the word of "InvalidParameter" would match texts about a parameter */
            plain_words_put(&said->words, text, size);
    }
}

static void take_param(struct refusal_text *said, const char *text)
{
    if (said->param[0] == '\0')
        snprintf(said->param, sizeof said->param, "%s", text);
}

/* FastAPI's paths: ["body","temperature"], ["body","messages",1,"content"]. */
static void take_place(struct refusal_text *said, const json_t *place)
{
    char path[sizeof said->param] = "";
    for (size_t i = 0, n = 0; i < json_array_size(place) && n < sizeof path; i++) {
        const char *name = json_string_value(json_array_get(place, i));
        if (name != NULL && !(i == 0 && strcmp(name, "body") == 0))
            n += (size_t)snprintf(path + n, sizeof path - n, "%s%s", n > 0 ? "." : "", name);
    }
    take_param(said, path);
}

/* ---- the walk ---- */

/* "1500", "1500.5"; -1: not a number. */
static int64_t whole_ms(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits <= 15 && (text[digits] == '\0' || text[digits] == '.') ? strtoll(text, NULL, 10) : -1;
}

static void take_string(struct refusal_text *said, const json_t *value, enum member_meaning member, bool base_resp, int depth)
{
    const char *text = json_string_value(value);
    size_t size = json_string_length(value);
    switch (member) {
    case MEANS_CODE:
    case MEANS_TYPE: take_reason(said, text, size, member, base_resp, depth); break;
    case MEANS_TEXT: take_text(said, text, size, depth); break;
    case MEANS_PARAM: take_param(said, text); break;
    case MEANS_WAIT: said->wait_ms = refusal_wait_of(text); break;
    case MEANS_WAIT_MS: said->wait_ms = whole_ms(text); break;
    case MEANS_RESET: said->reset = refusal_reset_of(text); break;
    default: break;
    }
}

static void take_integer(struct refusal_text *said, int64_t number, enum member_meaning member, bool base_resp)
{
    switch (member) {
    case MEANS_CODE:
    case MEANS_TYPE: add_number(said, number, base_resp ? REFUSAL_BASE_RESP : REFUSAL_CODE); break;
    case MEANS_WAIT: said->wait_ms = number >= 0 && number < REFUSAL_WAIT_S_MAX ? number * 1000 : -1; break;
    case MEANS_WAIT_MS: said->wait_ms = number >= 0 ? number : -1; break;
    case MEANS_RESET: said->reset = number; break;
    case MEANS_N_CTX: said->n_ctx = number > 0 ? number : 0; break;
    case MEANS_N_PROMPT: said->n_prompt = number > 0 ? number : 0; break;
    default: break;
    }
}

static void walk_object(struct refusal_text *said, const json_t *object, enum member_meaning outer, bool base_resp, int depth)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value) {
        enum member_meaning member = refusal_members_look(name);
        said->is_moderated = said->is_moderated || refusal_members_is_moderation(name);
        bool seconds = outer == MEANS_WAIT && strcmp(name, "seconds") == 0; /* Google's duration as an object */
        if (member == MEANS_QUOTED)
            continue;
        walk(said, value, seconds ? MEANS_WAIT : member, base_resp || strcmp(name, "base_resp") == 0, depth + 1);
    }
}

static void walk(struct refusal_text *said, const json_t *value, enum member_meaning member, bool base_resp, int depth)
{
    if (depth > DEPTH_MAX || said->nodes++ > NODES_MAX)
        return;
    if (json_is_string(value)) {
        take_string(said, value, member, base_resp, depth);
    } else if (json_is_integer(value)) {
        take_integer(said, json_integer_value(value), member, base_resp);
    } else if (json_is_real(value) && json_real_value(value) > -1e15 && json_real_value(value) < 1e15) {
        double number = json_real_value(value);
        if (member == MEANS_WAIT && number >= 0 && number < REFUSAL_WAIT_S_MAX)
            said->wait_ms = (int64_t)(number * 1000);
        else
            take_integer(said, (int64_t)number, member, base_resp);
    } else if (json_is_array(value)) {
        if (member == MEANS_PLACE)
            take_place(said, value);
        for (size_t i = 0; member != MEANS_PLACE && member != MEANS_PARAM && i < json_array_size(value); i++)
            walk(said, json_array_get(value, i), member, base_resp, depth + 1);
    } else if (json_is_object(value)) {
        walk_object(said, value, member, base_resp, depth);
    }
}

/* ---- */

static void clear(struct refusal_text *said)
{
    memset(said, 0, sizeof *said);
    said->wait_ms = said->reset = -1;
    plain_words_init(&said->words);
}

void refusal_text_read_json(const json_t *root, struct refusal_text *ret)
{
    clear(ret);
    if (root != NULL)
        walk(ret, root, MEANS_TEXT, false, 0);
    ret->own[ret->own_size] = '\0';
}

static bool begins_page(const char *body, size_t size)
{
    while (size > 0 && (isspace((unsigned char)*body) || (unsigned char)*body >= 0x80)) {
        body++;
        size--;
    }
    return size > 0 && *body == '<';
}

void refusal_text_read(const char *body, size_t size, struct refusal_text *ret)
{
    AUTO_JSON json_t *root = json_text_load_mended(body, size);
    if (root == NULL)
        root = cut_json_load(body, size);
    refusal_text_read_json(root, ret);
    if (root == NULL && size > 0) {
        ret->is_html = begins_page(body, size);
        if (!ret->is_html)
            take_text(ret, body, size, 0);
    }
    ret->own[ret->own_size] = '\0';
}
