/* What is published of a streamed answer while it is written: a channel of text and one of reasoning, each in the order in which it came. A part
 * of stream_fold, and private to it but for the news.
 *
 * Most channels are one member's text, which the fold keeps anyway: it is lent. From where a second member speaks on the same channel
 * (the other name of reasoning, parts beside text), the channel has a text of its own. Pure; one thread at a time. */
#ifndef CHAT_LLM_STREAM_OUTPUT_H
#define CHAT_LLM_STREAM_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "llm/said_text.h"
#include "llm/text_buffer.h"

/* What people read while an answer is being written, as said_text.h has it. */
enum stream_channel {
    STREAM_CHANNEL_TEXT,
    STREAM_CHANNEL_REASONING, /* under any name; where a delta brings several, they are the same text */
    STREAM_CHANNELS
};

/* A piece of each channel, from where the last one ended: lent until the fold takes another event, each cut between two events, so
 * valid UTF-8; may hold NULs. Size 0: nothing new. */
struct stream_news {
    const char *text[STREAM_CHANNELS];
    size_t size[STREAM_CHANNELS];
};

/* Members that are texts. */
enum stream_text { STREAM_CONTENT, STREAM_REFUSAL, STREAM_REASONINGS, STREAM_TEXTS = STREAM_REASONINGS + SAID_REASONING_NAMES };
const char *stream_text_name(enum stream_text which);

struct stream_output {
    struct {
        enum stream_text source; /* whose text it is */
        bool is_own;             /* or several's: own */
        struct text_buffer own;
        size_t emitted;    /* how much was handed out */
        size_t settled; /* how much is UTF-8 that nothing can change, once ragged */
    } channels[STREAM_CHANNELS];
    bool ragged; /* a text may not be UTF-8: it is mended before it is published */
};

void stream_output_init(struct stream_output *output);
void stream_output_finish(struct stream_output *output);

/* texts: the fold's, by enum stream_text, here and below. Before a delta is joined to them. */
void stream_output_hear(struct stream_output *output, const struct text_buffer texts[STREAM_TEXTS], const json_t *delta);
/* After it: makes UTF-8 of what is ragged, in its place, but for an end that what follows may complete; is_end: nothing follows. */
void stream_output_settle(struct stream_output *output, struct text_buffer texts[STREAM_TEXTS], bool is_end);

bool stream_output_has_news(const struct stream_output *output, const struct text_buffer texts[STREAM_TEXTS]);
void stream_output_news(struct stream_output *output, const struct text_buffer texts[STREAM_TEXTS], struct stream_news *ret);

#endif
