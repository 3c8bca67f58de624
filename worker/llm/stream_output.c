#include "llm/stream_output.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "wire/utf8_mend.h"

const char *stream_text_name(enum stream_text which)
{
    return which == STREAM_CONTENT ? "content" : which == STREAM_REFUSAL ? "refusal" : said_reasoning_names[which - STREAM_REASONINGS];
}

void stream_output_init(struct stream_output *output)
{
    *output = (struct stream_output){.channels[STREAM_CHANNEL_REASONING].source = STREAM_REASONINGS};
}

void stream_output_finish(struct stream_output *output)
{
    for (int i = 0; i < STREAM_CHANNELS; i++)
        text_buffer_finish(&output->channels[i].own);
}

static const struct text_buffer *text_of(const struct stream_output *output, const struct text_buffer *texts, int channel)
{
    return output->channels[channel].is_own ? &output->channels[channel].own : &texts[output->channels[channel].source];
}

/* ---- channels ---- */

/* From here on the channel has its own text, of several members. */
static struct text_buffer *make_own(struct stream_output *output, const struct text_buffer *texts, enum stream_channel channel)
{
    struct text_buffer *own = &output->channels[channel].own;
    const struct text_buffer *so_far = &texts[output->channels[channel].source];
    if (!output->channels[channel].is_own)
        text_buffer_append(own, text_buffer_text(so_far), so_far->size);
    output->channels[channel].is_own = true;
    return own;
}

/* Which member of a delta has the text: the first non-empty one; STREAM_TEXTS: none. */
static enum stream_text member_of(const json_t *delta)
{
    enum stream_text member = STREAM_REASONINGS;
    while (member < STREAM_TEXTS && json_string_length(json_object_get(delta, stream_text_name(member))) == 0)
        member++;
    return member;
}

static void hear_reasoning(struct stream_output *output, const struct text_buffer *texts, const json_t *delta)
{
    enum stream_text member = member_of(delta), *source = &output->channels[STREAM_CHANNEL_REASONING].source;
    bool is_own = output->channels[STREAM_CHANNEL_REASONING].is_own;
    if (member == STREAM_TEXTS) {
        struct text_buffer said = {0};
        said_text_of_reasoning(delta, &said);
        if (said.size > 0)
            text_buffer_append(make_own(output, texts, STREAM_CHANNEL_REASONING), said.bytes, said.size);
        text_buffer_finish(&said);
        return;
    }
    if (!is_own && texts[*source].size == 0)
        *source = member;
    if (!is_own && *source == member)
        return; /* its text is joined by the caller */
    const json_t *text = json_object_get(delta, stream_text_name(member));
    text_buffer_append(make_own(output, texts, STREAM_CHANNEL_REASONING), json_string_value(text), json_string_length(text));
}

static void hear_content(struct stream_output *output, const struct text_buffer *texts, const json_t *content)
{
    if (json_string_length(content) > 0 && output->channels[STREAM_CHANNEL_TEXT].is_own)
        text_buffer_append(&output->channels[STREAM_CHANNEL_TEXT].own, json_string_value(content), json_string_length(content));
    if (!json_is_array(content) && !json_is_object(content))
        return;
    struct text_buffer text = {0}, reasoning = {0};
    said_text_of_content(content, &text, &reasoning);
    text_buffer_append(make_own(output, texts, STREAM_CHANNEL_TEXT), text_buffer_text(&text), text.size);
    if (reasoning.size > 0)
        text_buffer_append(make_own(output, texts, STREAM_CHANNEL_REASONING), reasoning.bytes, reasoning.size);
    text_buffer_finish(&text);
    text_buffer_finish(&reasoning);
}

void stream_output_hear(struct stream_output *output, const struct text_buffer texts[STREAM_TEXTS], const json_t *delta)
{
    hear_reasoning(output, texts, delta);
    hear_content(output, texts, json_object_get(delta, "content"));
}

void stream_output_settle(struct stream_output *output, struct text_buffer texts[STREAM_TEXTS], bool is_end)
{
    for (int i = 0; output->ragged && i < STREAM_CHANNELS; i++) {
        struct text_buffer *text = output->channels[i].is_own ? &output->channels[i].own : &texts[output->channels[i].source];
        size_t *settled = &output->channels[i].settled;
        size_t size = text->size - *settled, mended_size;
        const char *bytes = text_buffer_text(text) + *settled;
        size_t open = is_end ? 0 : utf8_open_tail(bytes, size);
        AUTO_FREE char *mended = utf8_mend(bytes, size - open, &mended_size);
        AUTO_FREE char *tail = xmemdup0(bytes + size - open, open);
        text->size = *settled;
        text_buffer_append(text, mended, mended_size);
        text_buffer_append(text, tail, open);
        *settled += mended_size;
    }
}

/* ---- new text ---- */

static size_t ready_size(const struct stream_output *output, const struct text_buffer *texts, int channel)
{
    return output->ragged ? output->channels[channel].settled : text_of(output, texts, channel)->size;
}

bool stream_output_has_news(const struct stream_output *output, const struct text_buffer texts[STREAM_TEXTS])
{
    bool news = false;
    for (int i = 0; i < STREAM_CHANNELS; i++)
        news = news || ready_size(output, texts, i) > output->channels[i].emitted;
    return news;
}

void stream_output_news(struct stream_output *output, const struct text_buffer texts[STREAM_TEXTS], struct stream_news *ret)
{
    for (int i = 0; i < STREAM_CHANNELS; i++) {
        size_t ready = ready_size(output, texts, i);
        assert(output->channels[i].emitted <= ready);
        ret->text[i] = text_buffer_text(text_of(output, texts, i)) + output->channels[i].emitted;
        ret->size[i] = ready - output->channels[i].emitted;
        output->channels[i].emitted = ready;
    }
}
