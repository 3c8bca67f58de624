/* Folds the chunks of a streamed answer into what a whole one would have been.
 *
 * The second stage: sse_parser -> stream_fold -> struct llm_answer, as returned by llm_response_decode.
 * stream_fold_news returns the new text, to be called after an event; stream_fold_end the answer, or why there is
 * none.
 *
 * A stream is an answer if it has `[DONE]`, or a finish_reason and then an orderly
 * end. One that just ends was cut off, however much text it had. An error may come at any place, also
 * after text, and means what the same error as a whole body would; so does a finish_reason for a failed generation.
 *
 * A message is joined from choice 0 only, by message_fold.h. A `message` instead of a delta is treated as a delta if none has come, else as
 * the whole repeated (MiniMax): then only its missing members are added. A completion's `text` is content.
 *
 * A chunk is read as liberally as a whole answer (json_repair.h). Halves of a surrogate pair, and bytes of a character, that are split over two
 * chunks are joined; incomplete ones become U+FFFD, and are returned when that is known. Several values in one event are several
 * chunks.
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
#include "llm/message_fold.h"
#include "llm/sse_parser.h"
#include "llm/stream_output.h"

/* Private, except chunk_count. */
struct stream_fold {
    uint64_t chunk_count; /* chunks read; empty events and `[DONE]` don't count */

    size_t bytes_max;
    bool answered; /* a delta or a finish_reason has come */
    bool done;     /* `[DONE]` */
    bool failed;
    struct error why;           /* this and failure: valid when failed */
    struct llm_failure failure; /* of an error in the stream; its `said` is set by the owner */
    bool has_message; /* a delta has come, or a message */
    bool has_delta;   /* a non-empty `delta` has come */

    struct message_fold message;
    char *finish_reason, *native_finish_reason; /* this and the next: owned; NULL: missing */
    char *model;
    struct usage usage;
    struct stream_output output;
};

/* bytes_max: how much of the message may be kept, as JSON; other members of chunks don't count (one chunk is bounded
 * by the parser). */
void stream_fold_init(struct stream_fold *fold, size_t bytes_max);
void stream_fold_finish(struct stream_fold *fold); /* all zero is fine */

/* Takes the next event; an sse_on_event whose arg is the fold. false: no more is wanted, after `[DONE]` or a
 * failure; later events are ignored. */
bool stream_fold_event(void *fold, const struct sse_event *event);
/* Takes the event cut off by the end of the stream (sse_parser_pending), if it is complete: many servers omit the last blank line. */
void stream_fold_last_event(struct stream_fold *fold, const struct sse_event *event);

/* Is there text that wasn't returned yet? Never after the stream has failed. */
bool stream_fold_has_news(const struct stream_fold *fold);
/* Returns that text, once. */
void stream_fold_news(struct stream_fold *fold, struct stream_news *ret);

/* The stream has ended; orderly: its HTTP body was complete. Call once. *ret is set on OK only, to be freed by
 * llm_answer_finish. FAILED:
 *   retriable  stream_broken (it ended early); invalid_response (a chunk is no JSON object, or it was `[DONE]`
 *              without an answer)
 *   permanent  response_too_large; invalid_response where deltas can't be joined: it would fail again
 *   an error in the stream, by llm_error_in_200, or the error of llm_finish_check
 * Sets the kind in failure (may be NULL) where the stream itself had failed. */
enum status stream_fold_end(struct stream_fold *fold, bool orderly, struct llm_answer *ret, struct llm_failure *failure,
                            struct error *err) MUST_CHECK;

#endif
