/* Folds the chunks of a streamed answer into what a whole one would have been.
 *
 * The second stage: sse_parser -> stream_fold -> struct llm_answer, the same that llm_response_decode gives.
 * Text is handed out as it comes; the answer, or why there is none, is told by stream_fold_end.
 *
 * What counts as an answer: a stream that says `[DONE]`, or one that gives a finish_reason and then ends in
 * order. One that just ends was cut off, however much text it brought. An error may come at any place, also
 * behind text.
 *
 * How a message is joined: choice 0 only; content, refusal, reasoning_content and reasoning are concatenated;
 * tool_calls as tool_call_fold.h says; function_call likewise. Of any other member of a delta that is a string,
 * the last one counts; one of another kind is left out, since how to join it isn't known. A message without
 * text has the content null where calls or a refusal stand in its place, else "".
 *
 * Pure: no I/O, no clock. One thread at a time. */
#ifndef CHAT_LLM_STREAM_FOLD_H
#define CHAT_LLM_STREAM_FOLD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "llm/llm_client.h"
#include "llm/sse_parser.h"
#include "llm/text_buffer.h"
#include "llm/tool_call_fold.h"

/* Who hears the text as it comes: in order, never empty, each piece valid UTF-8. It is lent until the call
 * returns, has a NUL behind it and may hold some. Either function may be NULL. */
struct stream_listener {
    void (*on_text)(void *arg, const char *text, size_t size);
    void (*on_reasoning)(void *arg, const char *text, size_t size);
    void *arg;
};

enum stream_text { STREAM_CONTENT, STREAM_REFUSAL, STREAM_REASONING_CONTENT, STREAM_REASONING, STREAM_TEXTS };

/* Private, but for the counts. */
struct stream_fold {
    uint64_t chunk_count;     /* chunks read; empty events and `[DONE]` are none */
    uint64_t text_count;      /* of those, with content's text */
    uint64_t reasoning_count; /* of those, with reasoning */

    struct stream_listener listener;
    size_t bytes_max;
    size_t bytes;  /* kept so far */
    bool answered; /* a delta or a finish_reason was there */
    bool done;     /* `[DONE]` */
    bool failed;
    struct error why;           /* valid when failed, as failure */
    struct llm_failure failure; /* context_overflow and billing */

    char *role; /* owned, as all that follows; NULL: not said */
    char *finish_reason;
    char *model;
    struct usage usage;
    struct text_buffer texts[STREAM_TEXTS];
    struct tool_call_fold tool_calls;
    struct tool_call function_call;
    bool has_function_call;
    json_t *others; /* members that aren't known; NULL: none */
};

/* bytes_max: how much of the message may be kept; what chunks have around it doesn't count (one chunk is bounded
 * by the parser). listener (NULL: none) is copied. */
void stream_fold_init(struct stream_fold *fold, size_t bytes_max, const struct stream_listener *listener);
void stream_fold_finish(struct stream_fold *fold); /* all zero is fine */

/* Takes the next event; an sse_on_event whose arg is the fold. false: no more is wanted, after `[DONE]` or a
 * failure; later events are ignored. */
bool stream_fold_event(void *fold, const struct sse_event *event);

/* Whether there was text or reasoning to hand out: what people have seen can't be asked for again unnoticed. */
bool stream_fold_has_delivered(const struct stream_fold *fold);

/* The stream is over; orderly: HTTP says that its body was whole. Once. *ret is set on OK only, for
 * llm_answer_finish. FAILED:
 *   retriable  stream_broken (it ended early); invalid_response (a chunk is no JSON object, or it was `[DONE]`
 *              without an answer)
 *   permanent  response_too_large
 *   what an error in the stream says, as llm_error_in_200 classes it
 * Sets failure's context_overflow and billing (failure may be NULL) where the stream itself had failed. */
enum status stream_fold_end(struct stream_fold *fold, bool orderly, struct llm_answer *ret, struct llm_failure *failure,
                            struct error *err) MUST_CHECK;

#endif
