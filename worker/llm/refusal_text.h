/* What a refusal's body says, gathered from whatever shape it has: the reasons (codes, types), the texts, as one line of plain words,
 * waits, statuses, the member that it is about. What that means is refusal.c's to decide.
 *
 * Shapes differ by who answers (OpenAI, Azure, Anthropic, Google, Ollama, FastAPI, gateways that wrap another's body, JSON in a text,
 * JSON in an array, an event of a stream), so none is asked for: every object and array is looked through, and a member counts by its
 * name. What quotes the request (`input`, `messages`, `failed_generation`) isn't looked at. Pure; bounded in time and memory. */
#ifndef CHAT_LLM_REFUSAL_TEXT_H
#define CHAT_LLM_REFUSAL_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "llm/plain_words.h"

#define REFUSAL_REASONS_MAX 24
#define REFUSAL_STATUSES_MAX 8

enum refusal_place {
    REFUSAL_CODE,      /* of a member named like `code` */
    REFUSAL_TYPE,      /* like `type` or `status` */
    REFUSAL_BASE_RESP, /* MiniMax's `base_resp`: its numbers are its own */
    REFUSAL_IN_TEXT    /* an identifier within a text */
};

struct refusal_reason {
    char word[64]; /* as it came */
    enum refusal_place place;
};

struct refusal_text {
    struct refusal_reason reasons[REFUSAL_REASONS_MAX]; /* from the outermost on, in their order */
    size_t reason_count;
    int statuses[REFUSAL_STATUSES_MAX]; /* numbers that are HTTP's, from 400 to 599, in the same order */
    size_t status_count;
    char param[96];     /* the request's member that it is about; empty: not said */
    int64_t wait_ms;    /* how long to wait; -1: not said */
    int64_t reset;      /* `X-RateLimit-Reset`, as it stands: ms, s since 1970, or s from now; -1: not said */
    int64_t n_ctx, n_prompt; /* llama.cpp's; 0: not said */
    bool is_moderated;  /* a member tells what was found in the request */
    bool is_html;       /* a page of a gateway's: its words mean nothing */
    bool has_words;     /* anything at all was said */
    struct plain_words words; /* texts and reasons */
    char own[2048];     /* the texts as they came, the outermost first, for people; may be cut within a character */
    size_t own_size;

    size_t nodes; /* private: looked at */
};

/* Reads a body that is JSON, or isn't. ret is large: the heap's. */
void refusal_text_read(const char *body, size_t size, struct refusal_text *ret);
/* The same of JSON that was parsed; NULL: nothing is said. */
void refusal_text_read_json(const json_t *root, struct refusal_text *ret);

#endif
