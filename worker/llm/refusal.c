#include "llm/refusal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "llm/refusal_message.h"
#include "llm/refusal_reasons.h"
#include "llm/refusal_text.h"
#include "llm/refusal_words.h"

#define BODY_BYTES_MAX (4 * REFUSAL_MESSAGE_BYTES_MAX) /* so that no secret is cut in two within the message */

/* ---- the kind ---- */

/* Of several kinds in one text the first here counts: an account's right to a model concerns the account. */
static const enum failure_kind order[] = {FAILURE_CONTENT, FAILURE_BILLING, FAILURE_TOO_LONG, FAILURE_MODEL,   FAILURE_ACCESS,
                                          FAILURE_RATE,    FAILURE_OVERLOAD, FAILURE_TIMEOUT, FAILURE_REQUEST, FAILURE_SERVER};

static size_t rank_of(enum failure_kind kind)
{
    size_t rank = 0;
    while (rank < sizeof order / sizeof order[0] && order[rank] != kind)
        rank++;
    return rank;
}

/* The reason of that weight that takes precedence; NULL: there is none. */
static const struct refusal_reason *best_reason(const struct refusal_text *said, enum reason_weight weight, enum failure_kind *ret_kind)
{
    const struct refusal_reason *best = NULL;
    *ret_kind = FAILURE_NONE;
    for (size_t i = 0; i < said->reason_count; i++) {
        enum failure_kind kind = FAILURE_NONE;
        if (refusal_reason_look(&said->reasons[i], &kind) != weight || (best != NULL && rank_of(kind) >= rank_of(*ret_kind)))
            continue;
        best = &said->reasons[i];
        *ret_kind = kind;
    }
    return best;
}

/* A plain reason's kind, which some words change. */
static enum failure_kind settle(enum failure_kind kind, const struct refusal_text *said, int status, bool waits)
{
    bool by_time = waits || refusal_words_have(said->words.text, "per minute|per min |per day|tpm |rpm |allocated quota|rate limit");
    const char *evidence;
    if (kind == FAILURE_RATE && !waits) { /* the words may show that waiting doesn't help */
        enum failure_kind told = refusal_words_kind(said->words.text, ON_429, waits, &evidence);
        if (told == FAILURE_BILLING || told == FAILURE_TOO_LONG)
            return told;
    }
    if (kind == FAILURE_BILLING && by_time && refusal_words_have(said->words.text, "insufficient quota|exceeded current quota")) /* Alibaba's rate */
        return FAILURE_RATE;
    if (kind == FAILURE_OVERLOAD && status == 429)
        return FAILURE_RATE;
    return kind;
}

/* A status within the body that is more specific than HTTP's: a gateway's 400 or 500 may be about another server's answer. */
static int inner_status(const struct refusal_text *said, int status)
{
    for (size_t i = said->status_count; i-- > 0;) {
        int inner = said->statuses[i];
        bool vague = inner == 400 || inner == 422 || inner == 500;
        if (status == 0 || (!vague && (status == 400 || status == 500 || status == 502)))
            return inner;
    }
    return status;
}

/* Does a vague reason count? Only if the status is unspecific, too. */
static bool is_heard(enum failure_kind kind, int status)
{
    if (status == 0)
        return true;
    return status == 400 && kind != FAILURE_SERVER && kind != FAILURE_TIMEOUT;
}

static enum failure_kind decide(const struct refusal_facts *facts, const struct refusal_text *said, const struct refusal_reason **ret_reason, bool *ret_by_words,
                                const char **ret_evidence)
{
    enum failure_kind kind;
    int status = facts->http_status;
    bool waits = facts->header_wait_ms > 0 || said->wait_ms > 0 || said->reset >= 0;
    *ret_by_words = false;
    *ret_reason = NULL;
    *ret_evidence = NULL;
    if ((status >= 300 && status < 400) || said->is_html)
        return failure_kind_of_status(status);
    if ((*ret_reason = best_reason(said, REASON_PLAIN, &kind)) != NULL)
        return settle(kind, said, status, waits);
    int inner = inner_status(said, status);
    unsigned on = refusal_on_status(inner);
    if (said->is_moderated && (on & (ON_NONE | ON_400 | ON_403)) != 0)
        return FAILURE_CONTENT;
    kind = refusal_words_kind(said->words.text, on, waits, ret_evidence);
    *ret_by_words = kind != FAILURE_NONE;
    if (kind != FAILURE_NONE)
        return kind;
    *ret_reason = best_reason(said, REASON_VAGUE, &kind);
    if (*ret_reason != NULL && is_heard(kind, inner))
        return kind;
    *ret_reason = NULL;
    return inner == 0 ? FAILURE_SERVER : failure_kind_of_status(inner);
}

/* ---- its code ---- */

static bool is_code(const char *word)
{
    static const char *const empty[] = {"error", "failure", "failed", "fail", "errors", NULL};
    for (const char *const *e = empty; *e != NULL; e++)
        if (strcasecmp(word, *e) == 0)
            return false;
    return strlen(word) < sizeof((struct refusal *)0)->code;
}

/* A code takes precedence over a type, words over numbers, the outer over the inner. */
static const char *said_code(const struct refusal_text *said, const char *const *secrets)
{
    const char *best = NULL;
    int best_rank = 4;
    for (size_t i = 0; i < said->reason_count; i++) {
        const struct refusal_reason *reason = &said->reasons[i];
        bool number = isdigit((unsigned char)reason->word[0]) != 0;
        int rank = reason->place == REFUSAL_IN_TEXT ? 4 : number ? 3 : reason->place == REFUSAL_CODE ? 0 : 1;
        if (rank < best_rank && is_code(reason->word) && !refusal_message_hides(reason->word, secrets)) {
            best = reason->word;
            best_rank = rank;
        }
    }
    return best;
}

static bool is_plain(const struct refusal_reason *reason)
{
    enum failure_kind kind;
    return refusal_reason_look(reason, &kind) == REASON_PLAIN;
}

/* Our own code, for a kind known from words alone, where a vague reason of the provider's would mislead. */
static const char *own_code(enum failure_kind kind)
{
    switch (kind) {
    case FAILURE_ACCESS: return "access_denied";
    case FAILURE_BILLING: return "billing_error";
    case FAILURE_MODEL: return "model_not_found";
    case FAILURE_RATE: return "rate_limit_exceeded";
    case FAILURE_OVERLOAD: return "overloaded";
    default: return NULL;
    }
}

static void name_code(const struct refusal_facts *facts, const struct refusal_text *said, const struct refusal_reason *reason, bool by_words, const char *const *secrets, struct refusal *ret)
{
    const char *code = said_code(said, secrets);
    struct refusal_reason looked = {.place = REFUSAL_TYPE};
    enum failure_kind kind = FAILURE_NONE;
    int status = inner_status(said, facts->http_status);
    if (code != NULL)
        snprintf(looked.word, sizeof looked.word, "%s", code);
    bool vague = code == NULL || isdigit((unsigned char)code[0]) || refusal_reason_look(&looked, &kind) == REASON_VAGUE;
    if (ret->kind == FAILURE_TOO_LONG)
        code = "context_length_exceeded";
    else if (ret->kind == FAILURE_CONTENT)
        code = "content_filter";
    else if (facts->http_status >= 300 && facts->http_status < 400)
        code = NULL;
    else if (reason != NULL && is_code(reason->word) && is_plain(reason) && kind != ret->kind)
        code = reason->word;
    else if (by_words && vague && own_code(ret->kind) != NULL)
        code = own_code(ret->kind);
    size_t size = code != NULL ? strlen(code) : 0; /* is_code: it fits */
    if (code != NULL)
        memcpy(ret->code, code, size < sizeof ret->code ? size + 1 : sizeof ret->code - 1);
    else
        snprintf(ret->code, sizeof ret->code, "http_%d", status != 0 ? status : 500);
}

/* ---- a request that is refused ---- */

/* Such as "messages", "messages.[2].content", "body.messages[1]", "$.contents[0].parts", "input". */
static bool names_conversation(const char *path)
{
    static const char *const names[] = {"messages", "message", "contents", "content", "input", "inputs", "prompt", "conversation", "history", NULL};
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    while (*path != '\0') {
        size_t length = strspn(path, letters);
        for (const char *const *name = names; *name != NULL; name++)
            if (strlen(*name) == length && strncmp(path, *name, length) == 0)
                return true;
        path += length;
        path += strcspn(path, letters);
    }
    return false;
}

/* A member of the request other than its texts: a call's id, a picture, a parameter. */
static bool names_another(const char *path)
{
    static const char *const names[] = {"id", "name", "tool_call_id", "tool_calls", "function_call", "image", "image_url", "url", "source", "base64", "data", "file", "audio", NULL};
    const char *last = strrchr(path, '.');
    last = last != NULL ? last + 1 : path;
    if (path[0] == '\0')
        return false;
    for (const char *const *name = names; *name != NULL; name++)
        if (strcmp(last, *name) == 0)
            return true;
    return !names_conversation(path);
}

static bool has_reason(const struct refusal_text *said, const char *word)
{
    for (size_t i = 0; i < said->reason_count; i++)
        if (strcasecmp(said->reasons[i].word, word) == 0)
            return true;
    return false;
}

static void explain(const struct refusal_text *said, struct refusal *ret)
{
    bool names = has_reason(said, "unsupported_parameter") || has_reason(said, "unsupported_value") || has_reason(said, "unknown_parameter") || has_reason(said, "missing_required_parameter");
    if (said->param[0] != '\0')
        ret->unexplained = names_conversation(said->param);
    else
        ret->unexplained = !names || refusal_words_have(said->words.text, "messages"); /* about a member of the messages */
}

/* ---- the whole ---- */

static void conclude(const struct refusal_facts *facts, const struct refusal_text *said, const char *const *secrets, struct refusal *ret)
{
    const struct refusal_reason *reason;
    bool by_words;
    *ret = (struct refusal){.wait_ms = said->wait_ms, .reset = said->reset};
    ret->kind = decide(facts, said, &reason, &by_words, &ret->evidence);
    if (ret->kind == FAILURE_TOO_LONG && by_words && said->param[0] != '\0' && names_another(said->param) &&
        !refusal_words_have(said->words.text, "context length|context window|context size|prompt is too long|input tokens"))
        ret->kind = FAILURE_REQUEST;
    if (ret->kind == FAILURE_REQUEST && names_conversation(said->param) && !names_another(said->param) && refusal_words_have(said->words.text, "should have at most|string too long|array too long"))
        ret->kind = FAILURE_TOO_LONG; /* about a member that the words don't name */
    if (ret->kind == FAILURE_TOO_LONG) {
        ret->n_ctx = said->n_ctx;
        ret->n_prompt = said->n_prompt;
    }
    if (ret->kind == FAILURE_REQUEST)
        explain(said, ret);
    enum failure_kind by_status = facts->http_status != 0 ? failure_kind_of_status(facts->http_status) : FAILURE_SERVER;
    ret->may_be_quoted = (by_words || (reason != NULL && reason->place == REFUSAL_IN_TEXT)) && (failure_is_the_questions(by_status) || by_status == FAILURE_SERVER);
    name_code(facts, said, reason, by_words, secrets, ret);
    ret->message = refusal_message(said->own, said->own_size, secrets);
}

void refusal_read(const struct refusal_facts *facts, const char *body, size_t size, const char *const *secrets, struct refusal *ret)
{
    AUTO_FREE struct refusal_text *said = xcalloc(1, sizeof *said);
    refusal_text_read(body, size, said);
    conclude(facts, said, secrets, ret);
    if (ret->message == NULL && !said->is_html) /* an unknown structure: the body itself */
        ret->message = refusal_message(body, size < BODY_BYTES_MAX ? size : BODY_BYTES_MAX, secrets);
}

void refusal_read_json(const struct refusal_facts *facts, const json_t *root, const char *const *secrets, struct refusal *ret)
{
    AUTO_FREE struct refusal_text *said = xcalloc(1, sizeof *said);
    refusal_text_read_json(root, said);
    conclude(facts, said, secrets, ret);
}

void refusal_finish(struct refusal *refusal)
{
    free(refusal->message);
    *refusal = (struct refusal){0};
}

const char *refusal_hint(const struct refusal *refusal, int http_status)
{
    if (http_status >= 300 && http_status < 400)
        return "redirections are not followed, check url";
    switch (refusal->kind) {
    case FAILURE_TOO_LONG: return "the conversation is longer than the model's context";
    case FAILURE_CONTENT: return "the provider refuses what the conversation says";
    case FAILURE_ACCESS: return "check api_key, auth, url, and what the account may use, from here";
    case FAILURE_BILLING: return "the account can't pay, see the provider's billing page";
    case FAILURE_MODEL: return "check url and model";
    case FAILURE_RATE: return "its limits are in the provider's console; requests_per_minute and tokens_per_minute keep below them";
    case FAILURE_OVERLOAD: return "the provider is overloaded, or starts";
    case FAILURE_GONE: return "a proxy lets nobody through";
    case FAILURE_REQUEST: return "the request isn't taken as it is, see error.provider_message in the reply";
    case FAILURE_TIMEOUT: return "the provider gave up waiting";
    default: return "the provider failed";
    }
}
