/* A provider's stream: the first byte picks the limits and how the stream ends, the rest is the body. However it is
 * cut into pieces, it gives the same answer or the same failure, and for an answer the same text is published. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "llm/sse_parser.h"
#include "llm/stream_fold.h"
#include "wire/job_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

struct outcome {
    enum status fed, rc;
    struct llm_answer answer;
    struct llm_failure failure;
    struct error err;
    struct text_buffer text, reasoning;
    uint64_t events, chunks;
    bool pending;
};

static void hear(struct text_buffer *heard, const struct stream_news *news, enum stream_channel channel)
{
    require(news->size[channel] == 0 || utf8_invalid_at(news->text[channel], news->size[channel]) == SCAN_NOWHERE);
    text_buffer_append(heard, news->text[channel] != NULL ? news->text[channel] : "", news->size[channel]);
}

/* Collects a stream's text as the worker does: the new text after each piece. */
static void hear_news(struct stream_fold *fold, struct outcome *ret)
{
    struct stream_news news;
    bool any = stream_fold_has_news(fold);
    stream_fold_news(fold, &news);
    require(any == (news.size[STREAM_CHANNEL_TEXT] + news.size[STREAM_CHANNEL_REASONING] > 0));
    require(!stream_fold_has_news(fold));
    hear(&ret->text, &news, STREAM_CHANNEL_TEXT);
    hear(&ret->reasoning, &news, STREAM_CHANNEL_REASONING);
}

/* Each piece has memory of its own: ASan sees a read beyond it. */
static void run(const char *bytes, size_t size, size_t step, uint8_t options, struct outcome *ret)
{
    static const size_t limits[] = {1 << 20, 1000, 40, 0};
    struct sse_parser parser;
    struct stream_fold fold;
    *ret = (struct outcome){.fed = STATUS_OK};
    sse_parser_init(&parser, limits[options / 4 % 4]);
    stream_fold_init(&fold, limits[options % 4]);
    for (size_t done = 0; done < size;) {
        size_t length = size - done < step ? size - done : step;
        AUTO_FREE char *piece = malloc(length);
        memcpy(piece, bytes + done, length);
        ret->fed = sse_parser_feed(&parser, piece, length, stream_fold_event, &fold);
        done += length;
        hear_news(&fold, ret);
    }
    struct sse_event last;
    if (sse_parser_pending(&parser, &last))
        stream_fold_last_event(&fold, &last);
    ret->rc = stream_fold_end(&fold, options & 16, &ret->answer, &ret->failure, &ret->err);
    hear_news(&fold, ret);
    ret->events = parser.event_count;
    ret->chunks = fold.chunk_count;
    ret->pending = sse_parser_is_pending(&parser);
    require(fold.chunk_count <= parser.event_count + 1); /* the last one's blank line may be missing */
    require(ret->text.size <= 3 * fold.bytes_max); /* U+FFFD for a byte */
    stream_fold_finish(&fold);
    sse_parser_finish(&parser);
}

static void finish(struct outcome *outcome)
{
    llm_answer_finish(&outcome->answer);
    text_buffer_finish(&outcome->text);
    text_buffer_finish(&outcome->reasoning);
}

static bool same_bytes(const struct text_buffer *a, const struct text_buffer *b)
{
    return a->size == b->size && memcmp(text_buffer_text(a), text_buffer_text(b), a->size) == 0;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Checks an outcome by itself. */
static void check(const struct outcome *outcome)
{
    if (outcome->rc != STATUS_OK) {
        require(outcome->rc == STATUS_FAILED && outcome->err.class != ERROR_NONE && outcome->err.code[0] != '\0');
        require(outcome->answer.message == NULL);
        return;
    }
    const json_t *content = json_object_get(outcome->answer.message, "content");
    AUTO_FREE char *printed = json_dumps(outcome->answer.message, 0);
    require(printed != NULL && json_is_string(json_object_get(outcome->answer.message, "role")));
    require(content != NULL);
    if (!json_is_string(content)) /* in parts, or none */
        return;
    require(json_string_length(content) == outcome->text.size);
    require(outcome->text.size == 0 || memcmp(json_string_value(content), outcome->text.bytes, outcome->text.size) == 0);
}

static void compare(const struct outcome *a, const struct outcome *b)
{
    require(a->fed == b->fed && a->rc == b->rc && a->events == b->events && a->chunks == b->chunks && a->pending == b->pending);
    require(a->rc != STATUS_OK || (same_bytes(&a->text, &b->text) && same_bytes(&a->reasoning, &b->reasoning)));
    require(a->err.class == b->err.class && same_text(a->err.code, b->err.code) && same_text(a->err.message, b->err.message));
    require(a->failure.kind == b->failure.kind);
    if (a->rc != STATUS_OK)
        return;
    require(json_equal(a->answer.message, b->answer.message) && same_text(a->answer.finish_reason, b->answer.finish_reason));
    require(same_text(a->answer.model, b->answer.model) && memcmp(&a->answer.usage, &b->answer.usage, sizeof a->answer.usage) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct outcome whole;
    run((const char *)data + 1, size - 1, size, data[0], &whole);
    check(&whole);
    const size_t steps[] = {1, 2 + size % 13};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct outcome cut;
        run((const char *)data + 1, size - 1, steps[i], data[0], &cut);
        compare(&whole, &cut);
        finish(&cut);
    }
    finish(&whole);
    return 0;
}
