/* The content of a request and its correct answer. Pure: the same request, number and options give
 * the same plan. */
#ifndef LLMSIM_PLAN_H
#define LLMSIM_PLAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "dialect.h"

enum jitter { JITTER_FIXED, JITTER_UNIFORM, JITTER_LOGNORMAL };

struct plan_options {
    int64_t latency_ms; /* mean, to the first byte */
    enum jitter jitter;
    double sigma;  /* lognormal: of the logarithm; uniform: half width as a share of the mean */
    uint64_t seed;
    int64_t tokens;            /* pad the answer to so many words; 0: don't */
    int64_t token_interval_ms; /* between the deltas of a stream */
    int64_t ctx;               /* most words in a prompt; 0: no limit */
    const char *ctx_shape;     /* of the refusal: openai, llamacpp, vllm; NULL: the dialect's, or llama.cpp's without one */
    const struct dialect *dialect; /* the answers' form; NULL: OpenAI's in short, to which the faults refer. Borrowed */
    const struct dialect *refusals; /* the refusals' form: the same, or OpenAI's. Borrowed; NULL: none */
};

struct ask {
    json_t *root;         /* owned */
    const char *model;    /* in root */
    char *message;        /* owned: text of the last user message; "" if there is none */
    size_t message_count;
    int64_t prompt_words;
    int64_t max_tokens;   /* 0: none */
    bool stream;
    bool include_usage;
};

/* FAILED: not JSON, or no messages; *ret needn't be finished. */
enum status ask_parse(const char *body, size_t size, struct ask *ret, struct error *err) MUST_CHECK;
void ask_finish(struct ask *ask);

/* Time to the first byte for the request of this number, from seed and number alone. */
int64_t plan_latency_ms(const struct plan_options *options, uint64_t number);

/* "echo: MESSAGE [messages=N]", padded to options->tokens words, cut to max_tokens (*ret_cut). Owned. */
char *plan_text(const struct plan_options *options, const struct ask *ask, bool *ret_cut);

/* Words, the simulator's tokens: runs of anything but white space. */
int64_t plan_words(const char *text);
/* Where the first n words of text end. */
size_t plan_words_end(const char *text, int64_t n);

#endif
