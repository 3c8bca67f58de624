/* The published part of a streamed answer: a channel of text and one of reasoning, each in the order of arrival. A part
 * of stream_fold, and private to it except struct stream_news.
 *
 * Most channels are one member's text, which the fold keeps anyway: then it is borrowed. Once a second member belongs to the same channel
 * (the other name of reasoning, parts beside text), the channel has a text of its own. Pure; one thread at a time. */
#ifndef CHAT_LLM_STREAM_OUTPUT_H
#define CHAT_LLM_STREAM_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "llm/said_text.h"
#include "llm/text_buffer.h"

/* What people read while an answer is streamed (said_text.h). */
enum stream_channel {
    STREAM_CHANNEL_TEXT,
    STREAM_CHANNEL_REASONING, /* under any name; several in one delta are the same text */
    STREAM_CHANNELS
};

/* New text of each channel, since the last one: valid until the fold takes another event; cut between two events, so
 * valid UTF-8; may contain NULs. Size 0: nothing new. */
struct stream_news {
    const char *text[STREAM_CHANNELS];
    size_t size[STREAM_CHANNELS];
};

/* Members that are texts. */
enum stream_text { STREAM_CONTENT, STREAM_REFUSAL, STREAM_REASONINGS, STREAM_TEXTS = STREAM_REASONINGS + SAID_REASONING_NAMES };
const char *stream_text_name(enum stream_text which);

struct stream_output {
    struct {
        enum stream_text source; /* the member whose text is the channel */
        bool is_own;             /* the text of several members: own */
        struct text_buffer own;
        size_t emitted;    /* how much was returned */
        size_t settled; /* once ragged: how much is final UTF-8 */
    } channels[STREAM_CHANNELS];
    bool ragged; /* a text may not be UTF-8: it is mended before it is published */
};

void stream_output_init(struct stream_output *output);
void stream_output_finish(struct stream_output *output);

/* Call before a delta is joined. texts: the fold's, by enum stream_text, here and below. */
void stream_output_hear(struct stream_output *output, const struct text_buffer texts[STREAM_TEXTS], const json_t *delta);
/* Call after that: mends ragged text to UTF-8 in place, except an end that the next delta may complete; is_end: there is no next one. */
void stream_output_settle(struct stream_output *output, struct text_buffer texts[STREAM_TEXTS], bool is_end);

bool stream_output_has_news(const struct stream_output *output, const struct text_buffer texts[STREAM_TEXTS]);
void stream_output_news(struct stream_output *output, const struct text_buffer texts[STREAM_TEXTS], struct stream_news *ret);

#endif
