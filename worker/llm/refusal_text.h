/* The content of a refusal's body, collected from any structure: the reasons (codes, types), the texts, as one line of plain words,
 * waits, statuses, the request's member at fault. refusal.c decides what that means.
 *
 * Structures differ by server (OpenAI, Azure, Anthropic, Google, Ollama, FastAPI, gateways that wrap another's body, JSON in a text,
 * JSON in an array, an event of a stream), so none is required: every object and array is searched, and a member counts by its
 * name. Members that quote the request (`input`, `messages`, `failed_generation`) aren't read. Pure; bounded in time and memory. */
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
    char word[64]; /* in the provider's spelling */
    enum refusal_place place;
};

struct refusal_text {
    struct refusal_reason reasons[REFUSAL_REASONS_MAX]; /* from the outermost on, in their order */
    size_t reason_count;
    int statuses[REFUSAL_STATUSES_MAX]; /* numbers that are HTTP statuses, from 400 to 599, in the same order */
    size_t status_count;
    char param[96];     /* the request's member at fault; empty: not given */
    int64_t wait_ms;    /* how long to wait; -1: not given */
    int64_t reset;      /* `X-RateLimit-Reset`, unconverted: ms, s since 1970, or s from now; -1: not given */
    int64_t n_ctx, n_prompt; /* llama.cpp's; 0: not given */
    bool is_moderated;  /* it has a moderation's member */
    bool is_html;       /* a gateway's HTML page: its words mean nothing */
    bool has_words;     /* the body has any text */
    struct plain_words words; /* texts and reasons */
    char own[2048];     /* the original texts, the outermost first, for people; may be cut within a character */
    size_t own_size;

    size_t nodes; /* private: visited so far */
};

/* Reads a body, JSON or not. *ret is large: allocate it on the heap. */
void refusal_text_read(const char *body, size_t size, struct refusal_text *ret);
/* refusal_text_read for parsed JSON; NULL: an empty body. */
void refusal_text_read_json(const json_t *root, struct refusal_text *ret);

#endif
