/* Folds the chunks of a streamed answer into what a whole one would have been.
 *
 * The second stage: sse_parser -> stream_fold -> struct llm_answer, the same that llm_response_decode gives.
 * What is new of its text is handed out by stream_fold_news, to whoever asks for it after an event; the answer, or why there is
 * none, by stream_fold_end.
 *
 * What counts as an answer: a stream that says `[DONE]`, or one that gives a finish_reason and then ends in
 * order. One that just ends was cut off, however much text it brought. An error may come at any place, also
 * behind text, and means what the same error as a whole body would; so does a finish_reason that says that generation broke.
 *
 * A message is joined of choice 0 alone, as message_fold.h says. A `message` that comes in a delta's place is one, where no delta has come, else
 * the whole said again (MiniMax): then it brings only what isn't there. A completion's `text` is content.
 *
 * A chunk is read as liberally as a whole answer (json_repair.h). Halves of a surrogate pair, and bytes of a character, that two
 * chunks hold are joined; what is left of such becomes U+FFFD, and is handed out when it is known. Several values in one event are several
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

/* Private, but for the count. */
struct stream_fold {
    uint64_t chunk_count; /* chunks read; empty events and `[DONE]` are none */

    size_t bytes_max;
    bool answered; /* a delta or a finish_reason was there */
    bool done;     /* `[DONE]` */
    bool failed;
    struct error why;           /* valid when failed, as failure */
    struct llm_failure failure; /* what an error in the stream says of itself; its `said` is the owner's to set */
    bool has_message; /* a delta was there */
    bool has_delta;   /* under that name, with something in it */

    struct message_fold message;
    char *finish_reason, *native_finish_reason; /* owned, as the next; NULL: not said */
    char *model;
    struct usage usage;
    struct stream_output output;
};

/* bytes_max: how much of the message may be kept, as JSON writes it; what chunks have around it doesn't count (one chunk is bounded
 * by the parser). */
void stream_fold_init(struct stream_fold *fold, size_t bytes_max);
void stream_fold_finish(struct stream_fold *fold); /* all zero is fine */

/* Takes the next event; an sse_on_event whose arg is the fold. false: no more is wanted, after `[DONE]` or a
 * failure; later events are ignored. */
bool stream_fold_event(void *fold, const struct sse_event *event);
/* Takes what the end of the stream cut off (sse_parser_pending), where it is whole: many leave out the last blank line. */
void stream_fold_last_event(struct stream_fold *fold, const struct sse_event *event);

/* Is there text that wasn't handed out? Never of a stream that has failed. */
bool stream_fold_has_news(const struct stream_fold *fold);
/* Hands it out, once. */
void stream_fold_news(struct stream_fold *fold, struct stream_news *ret);

/* The stream is over; orderly: HTTP says that its body was whole. Once. *ret is set on OK only, for
 * llm_answer_finish. FAILED:
 *   retriable  stream_broken (it ended early); invalid_response (a chunk is no JSON object, or it was `[DONE]`
 *              without an answer)
 *   permanent  response_too_large; invalid_response where what it brought can't be joined: it would be so again
 *   what an error in the stream says, as llm_error_in_200 classes it, or what llm_finish_check says of its end
 * Sets what failure says of the kind (failure may be NULL) where the stream itself had failed. */
enum status stream_fold_end(struct stream_fold *fold, bool orderly, struct llm_answer *ret, struct llm_failure *failure,
                            struct error *err) MUST_CHECK;

#endif
