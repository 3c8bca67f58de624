#include "llm/refusal_text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "llm/refusal_reasons.h"
#include "llm/refusal_wait.h"
#include "llm/text_buffer.h"
#include "wire/json_text.h"

#define NODES_MAX 512 /* values that are looked at */
#define DEPTH_MAX 10
#define TEXT_BYTES_MAX 4096 /* of a body or text that is no JSON */

/* ---- which member is what: names without case, '_' and '-' ---- */

enum member { MEMBER_OTHER, MEMBER_QUOTED, MEMBER_CODE, MEMBER_TYPE, MEMBER_TEXT, MEMBER_PARAM, MEMBER_PLACE, MEMBER_WAIT, MEMBER_WAIT_MS, MEMBER_RESET, MEMBER_N_CTX, MEMBER_N_PROMPT };

static const struct {
    const char *name;
    enum member member;
} members[] = {
    /* Of the request or an answer, or of nobody's interest: they may hold anybody's words. */
    {"input", MEMBER_QUOTED}, {"flaggedinput", MEMBER_QUOTED}, {"messages", MEMBER_QUOTED}, {"prompt", MEMBER_QUOTED},
    {"content", MEMBER_QUOTED}, {"failedgeneration", MEMBER_QUOTED}, {"completion", MEMBER_QUOTED}, {"choices", MEMBER_QUOTED},
    {"request", MEMBER_QUOTED}, {"ctx", MEMBER_QUOTED}, {"usage", MEMBER_QUOTED}, {"links", MEMBER_QUOTED},
    {"traceback", MEMBER_QUOTED}, {"stack", MEMBER_QUOTED}, {"contentfilterresult", MEMBER_QUOTED},
    {"contentfilterresults", MEMBER_QUOTED}, {"promptfilterresults", MEMBER_QUOTED},
    /* Why, as a word or a number. */
    {"code", MEMBER_CODE}, {"errorcode", MEMBER_CODE}, {"errcode", MEMBER_CODE}, {"statuscode", MEMBER_CODE},
    {"httpcode", MEMBER_CODE}, {"httpstatus", MEMBER_CODE}, {"rawstatuscode", MEMBER_CODE}, {"reason", MEMBER_CODE},
    {"blockreason", MEMBER_CODE},
    {"type", MEMBER_TYPE}, {"errortype", MEMBER_TYPE}, {"status", MEMBER_TYPE}, {"kind", MEMBER_TYPE}, {"name", MEMBER_TYPE},
    /* Why, for people. */
    {"message", MEMBER_TEXT}, {"msg", MEMBER_TEXT}, {"error", MEMBER_TEXT}, {"errors", MEMBER_TEXT}, {"errormsg", MEMBER_TEXT},
    {"errormessage", MEMBER_TEXT}, {"statusmsg", MEMBER_TEXT}, {"detail", MEMBER_TEXT}, {"details", MEMBER_TEXT},
    {"description", MEMBER_TEXT}, {"errordescription", MEMBER_TEXT}, {"title", MEMBER_TEXT}, {"raw", MEMBER_TEXT},
    {"reasons", MEMBER_TEXT}, {"cause", MEMBER_TEXT}, {"body", MEMBER_TEXT}, {"exception", MEMBER_TEXT},
    {"param", MEMBER_PARAM}, {"loc", MEMBER_PLACE}, {"field", MEMBER_PARAM},
    {"retrydelay", MEMBER_WAIT}, {"retryafter", MEMBER_WAIT}, {"retryafterseconds", MEMBER_WAIT}, {"resetsinseconds", MEMBER_WAIT},
    {"resetinseconds", MEMBER_WAIT}, {"resetafter", MEMBER_WAIT}, {"resetin", MEMBER_WAIT}, {"retryin", MEMBER_WAIT}, {"waitseconds", MEMBER_WAIT}, {"waittime", MEMBER_WAIT}, {"estimatedtime", MEMBER_WAIT},
    {"retryinms", MEMBER_WAIT_MS}, {"resetafterms", MEMBER_WAIT_MS},
    {"retryafterms", MEMBER_WAIT_MS}, {"xratelimitreset", MEMBER_RESET}, {"ratelimitreset", MEMBER_RESET},
    {"nctx", MEMBER_N_CTX}, {"nprompttokens", MEMBER_N_PROMPT},
};

/* Members that only a moderation has. */
static const char *const moderations[] = {"flaggedinput", "contentfilterresult", "contentfilterresults", "moderationresult", NULL};

static void squash(const char *name, char *ret, size_t size)
{
    size_t n = 0;
    for (; *name != '\0' && n + 1 < size; name++)
        if (*name != '_' && *name != '-')
            ret[n++] = (char)tolower((unsigned char)*name);
    ret[n] = '\0';
}

static enum member member_of(struct refusal_text *said, const char *name)
{
    char squashed[32];
    squash(name, squashed, sizeof squashed);
    for (const char *const *m = moderations; *m != NULL; m++)
        said->is_moderated = said->is_moderated || strcmp(squashed, *m) == 0;
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (strcmp(squashed, members[i].name) == 0)
            return members[i].member;
    return MEMBER_OTHER;
}

/* ---- words ---- */

static void put(struct refusal_text *said, char c)
{
    bool again = c == ' ' && said->words_size > 0 && said->words[said->words_size - 1] == ' ';
    if (!again && said->words_size + 2 < sizeof said->words)
        said->words[said->words_size++] = c;
}

static size_t address_length(const char *text, size_t size)
{
    if (!(size > 8 && (strncasecmp(text, "https://", 8) == 0 || strncasecmp(text, "http://", 7) == 0)))
        return 0;
    size_t length = 0;
    while (length < size && text[length] != ' ' && text[length] != '"' && text[length] != '\n' && text[length] != ')' && text[length] != '\'' && text[length] != '\\')
        length++;
    return length;
}

static bool is_thousands(const char *text, size_t size, size_t i)
{
    return i > 0 && i + 3 < size && isdigit((unsigned char)text[i - 1]) && isdigit((unsigned char)text[i + 1]) &&
           isdigit((unsigned char)text[i + 2]) && isdigit((unsigned char)text[i + 3]);
}

/* "APIKeyInvalid" is three words, as is "rateLimit reached". */
static bool begins_word(const char *text, size_t size, size_t i)
{
    if (i == 0 || !isupper((unsigned char)text[i]))
        return false;
    return islower((unsigned char)text[i - 1]) ||
           (isupper((unsigned char)text[i - 1]) && i + 1 < size && islower((unsigned char)text[i + 1]));
}

static void put_words(struct refusal_text *said, const char *text, size_t size)
{
    put(said, ' ');
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        size_t address = address_length(text + i, size - i);
        if (address > 0) {
            i += address - 1;
            put(said, ' ');
            continue;
        }
        if (c == '\'' || (c == ',' && is_thousands(text, size, i)))
            continue;
        if (c == 0xe2 && i + 2 < size && (unsigned char)text[i + 1] == 0x80 && ((unsigned char)text[i + 2] & 0xfe) == 0x98) {
            i += 2; /* a printed apostrophe */
            continue;
        }
        if (begins_word(text, size, i))
            put(said, ' ');
        put(said, c >= 0x80 ? (char)c : isalnum(c) ? (char)tolower(c) : ' ');
    }
    put(said, ' ');
    said->words[said->words_size] = '\0';
}

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
    if (number == 0 || (number >= 200 && number < 300)) /* all is well */
        return;
    add_reason(said, word, (size_t)snprintf(word, sizeof word, "%lld", (long long)number), place);
}

/* "litellm.RateLimitError", "code: insufficient_quota": what only a program writes, and is known. */
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

static void walk(struct refusal_text *said, const json_t *value, enum member member, bool base_resp, int depth);

/* JSON within a text, alone or behind some words. */
static bool walk_within(struct refusal_text *said, const char *text, size_t size, enum member member, int depth, bool *ret_whole)
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
    if (within && walk_within(said, text, size, MEMBER_TEXT, depth, &whole) && whole && said->own_size > at)
        return; /* its own texts say it */
    said->has_words = true;
    put_own(said, text, size);
    put_words(said, text, size);
    find_reasons(said, text, size);
    int64_t wait_ms = refusal_wait_in_text(text, size);
    if (said->wait_ms < 0)
        said->wait_ms = wait_ms;
}

static void take_reason(struct refusal_text *said, const char *text, size_t size, enum member member, bool base_resp, int depth)
{
    enum refusal_place place = base_resp ? REFUSAL_BASE_RESP : member == MEMBER_CODE ? REFUSAL_CODE : REFUSAL_TYPE;
    if (!is_identifier(text, size)) { /* xAI's code is a sentence */
        take_text(said, text, size, depth);
    } else if (size <= 9 && strspn(text, "0123456789") == size) {
        add_number(said, strtoll(text, NULL, 10), place);
    } else {
        enum failure_kind kind = FAILURE_NONE;
        add_reason(said, text, size, place);
        bool empty = said->reason_count > 0 && refusal_reason_look(&said->reasons[said->reason_count - 1], &kind) == REASON_VAGUE && kind == FAILURE_REQUEST;
        if (!empty) /* "InvalidParameter" would be about a parameter */
            put_words(said, text, size);
    }
}

static void take_param(struct refusal_text *said, const char *text)
{
    if (said->param[0] == '\0')
        snprintf(said->param, sizeof said->param, "%s", text);
}

/* FastAPI's: ["body","temperature"], ["body","messages",1,"content"]. */
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

/* "1500", "1500.5"; -1: it is no number. */
static int64_t whole_ms(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits <= 15 && (text[digits] == '\0' || text[digits] == '.') ? strtoll(text, NULL, 10) : -1;
}

static void take_string(struct refusal_text *said, const json_t *value, enum member member, bool base_resp, int depth)
{
    const char *text = json_string_value(value);
    size_t size = json_string_length(value);
    switch (member) {
    case MEMBER_CODE:
    case MEMBER_TYPE: take_reason(said, text, size, member, base_resp, depth); break;
    case MEMBER_TEXT: take_text(said, text, size, depth); break;
    case MEMBER_PARAM: take_param(said, text); break;
    case MEMBER_WAIT: said->wait_ms = refusal_wait_of(text); break;
    case MEMBER_WAIT_MS: said->wait_ms = whole_ms(text); break;
    case MEMBER_RESET: said->reset = refusal_reset_of(text); break;
    default: break;
    }
}

static void take_integer(struct refusal_text *said, int64_t number, enum member member, bool base_resp)
{
    switch (member) {
    case MEMBER_CODE:
    case MEMBER_TYPE: add_number(said, number, base_resp ? REFUSAL_BASE_RESP : REFUSAL_CODE); break;
    case MEMBER_WAIT: said->wait_ms = number >= 0 && number < REFUSAL_WAIT_S_MAX ? number * 1000 : -1; break;
    case MEMBER_WAIT_MS: said->wait_ms = number >= 0 ? number : -1; break;
    case MEMBER_RESET: said->reset = number; break;
    case MEMBER_N_CTX: said->n_ctx = number > 0 ? number : 0; break;
    case MEMBER_N_PROMPT: said->n_prompt = number > 0 ? number : 0; break;
    default: break;
    }
}

static void walk_object(struct refusal_text *said, const json_t *object, enum member outer, bool base_resp, int depth)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value) {
        enum member member = member_of(said, name);
        bool seconds = outer == MEMBER_WAIT && strcmp(name, "seconds") == 0; /* Google's duration as an object */
        if (member == MEMBER_QUOTED)
            continue;
        walk(said, value, seconds ? MEMBER_WAIT : member, base_resp || strcmp(name, "base_resp") == 0, depth + 1);
    }
}

static void walk(struct refusal_text *said, const json_t *value, enum member member, bool base_resp, int depth)
{
    if (depth > DEPTH_MAX || said->nodes++ > NODES_MAX)
        return;
    if (json_is_string(value)) {
        take_string(said, value, member, base_resp, depth);
    } else if (json_is_integer(value)) {
        take_integer(said, json_integer_value(value), member, base_resp);
    } else if (json_is_real(value) && json_real_value(value) > -1e15 && json_real_value(value) < 1e15) {
        double number = json_real_value(value);
        if (member == MEMBER_WAIT && number >= 0 && number < REFUSAL_WAIT_S_MAX)
            said->wait_ms = (int64_t)(number * 1000);
        else
            take_integer(said, (int64_t)number, member, base_resp);
    } else if (json_is_array(value)) {
        if (member == MEMBER_PLACE)
            take_place(said, value);
        for (size_t i = 0; member != MEMBER_PLACE && member != MEMBER_PARAM && i < json_array_size(value); i++)
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
    put(said, ' ');
}

void refusal_text_read_json(const json_t *root, struct refusal_text *ret)
{
    clear(ret);
    if (root != NULL)
        walk(ret, root, MEMBER_TEXT, false, 0);
    ret->words[ret->words_size] = ret->own[ret->own_size] = '\0';
}

static bool begins_page(const char *body, size_t size)
{
    while (size > 0 && (isspace((unsigned char)*body) || (unsigned char)*body >= 0x80)) {
        body++;
        size--;
    }
    return size > 0 && *body == '<';
}

#define NESTED_MAX 32

/* JSON that is cut off within a text (of the request, quoted, say), with its ends put behind it. NULL: it isn't cut so. */
static json_t *load_cut(const char *body, size_t size)
{
    char ends[NESTED_MAX + 1];
    size_t open = 0, end = size;
    bool in_text = false;
    for (size_t i = 0; i < size; i++) {
        if (in_text && body[i] == '\\') {
            if (end == size && size - i < strlen("\\u0000"))
                end = i; /* it may be cut itself */
            i++;
        } else if (body[i] == '"') {
            in_text = !in_text;
        } else if (in_text) {
            continue;
        } else if (body[i] == '{' || body[i] == '[') {
            if (open == NESTED_MAX)
                return NULL;
            ends[open++] = body[i] == '{' ? '}' : ']';
        } else if ((body[i] == '}' || body[i] == ']') && open > 0) {
            open--;
        }
    }
    if (!in_text || open == 0)
        return NULL;
    struct text_buffer whole = {0};
    text_buffer_append(&whole, body, end);
    text_buffer_append(&whole, "\"", 1);
    while (open > 0)
        text_buffer_append(&whole, &ends[--open], 1);
    json_t *root = json_text_load_mended(whole.bytes, whole.size);
    text_buffer_finish(&whole);
    return root;
}

void refusal_text_read(const char *body, size_t size, struct refusal_text *ret)
{
    AUTO_JSON json_t *root = json_text_load_mended(body, size);
    if (root == NULL)
        root = load_cut(body, size);
    refusal_text_read_json(root, ret);
    if (root == NULL && size > 0) {
        ret->is_html = begins_page(body, size);
        if (!ret->is_html)
            take_text(ret, body, size, 0);
    }
    ret->words[ret->words_size] = ret->own[ret->own_size] = '\0';
}
