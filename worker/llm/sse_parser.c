#include "llm/sse_parser.h"

#include <string.h>

#define MARK "\xef\xbb\xbf"

void sse_parser_init(struct sse_parser *parser, size_t event_bytes_max)
{
    *parser = (struct sse_parser){.event_bytes_max = event_bytes_max, .at = SSE_MARK};
}

void sse_parser_finish(struct sse_parser *parser)
{
    text_buffer_finish(&parser->name);
    text_buffer_finish(&parser->data);
    *parser = (struct sse_parser){0};
}

bool sse_parser_is_pending(const struct sse_parser *parser)
{
    return parser->has_data;
}

bool sse_parser_pending(const struct sse_parser *parser, struct sse_event *ret)
{
    *ret = (struct sse_event){.name = parser->name.size > 0 ? parser->name.bytes : "message",
                              .data = text_buffer_text(&parser->data),
                              .size = parser->data.size};
    return parser->has_data && parser->end == SSE_OPEN;
}

static void append(struct sse_parser *parser, struct text_buffer *to, const char *bytes, size_t size)
{
    /* Never larger than the limit, so this can't wrap. */
    if (size > parser->event_bytes_max - parser->name.size - parser->data.size)
        parser->end = SSE_TOO_LARGE;
    else
        text_buffer_append(to, bytes, size);
}

static void begin_data(struct sse_parser *parser)
{
    parser->in_data = true;
    if (parser->has_data)
        append(parser, &parser->data, "\n", 1);
    parser->has_data = true;
}

/* The name is complete: is it a field that is used? A comment's name is empty. */
static void begin_value(struct sse_parser *parser)
{
    parser->at = SSE_SPACE;
    if (parser->field_size == 4 && memcmp(parser->field, "data", 4) == 0) {
        begin_data(parser);
    } else if (parser->field_size == 5 && memcmp(parser->field, "event", 5) == 0) {
        parser->in_data = false;
        text_buffer_clear(&parser->name); /* the last one counts */
    } else if (parser->field_size == 5 && memcmp(parser->field, "error", 5) == 0) { /* some servers' own: an event of that name */
        text_buffer_clear(&parser->name);
        append(parser, &parser->name, "error", 5);
        begin_data(parser);
    } else {
        parser->at = SSE_SKIP;
    }
}

static void dispatch(struct sse_parser *parser, sse_on_event on_event, void *arg)
{
    if (parser->has_data) { /* an event needs data */
        struct sse_event event = {.name = parser->name.size > 0 ? parser->name.bytes : "message",
                                  .data = text_buffer_text(&parser->data),
                                  .size = parser->data.size};
        parser->event_count++;
        if (!on_event(arg, &event))
            parser->end = SSE_STOPPED;
    }
    text_buffer_clear(&parser->name);
    text_buffer_clear(&parser->data);
    parser->has_data = parser->is_bare = false;
}

static void end_line(struct sse_parser *parser, sse_on_event on_event, void *arg)
{
    if (parser->at == SSE_NAME && parser->field_size == 0)
        dispatch(parser, on_event, arg);
    else if (parser->at == SSE_NAME) /* a field without a colon has an empty value */
        begin_value(parser);
    parser->at = SSE_NAME;
    parser->field_size = 0;
}

/* JSON without a field before it, as gateways send errors of their own into a stream: that line and those up to the blank one are data. */
static bool read_bare(struct sse_parser *parser, char c)
{
    if (parser->field_size > 0 || !(parser->is_bare || ((c == '{' || c == '[') && !parser->has_data)))
        return false;
    parser->is_bare = true;
    begin_data(parser);
    append(parser, &parser->data, &c, 1);
    parser->at = SSE_VALUE;
    return true;
}

static void read_name(struct sse_parser *parser, char c)
{
    if (c == '\0' && parser->field_size == 0) /* some servers send NULs as keep-alive */
        return;
    if (read_bare(parser, c))
        return;
    if (c == ':')
        begin_value(parser);
    else if (parser->field_size < sizeof parser->field)
        parser->field[parser->field_size++] = c;
    else
        parser->at = SSE_SKIP;
}

/* The stream's first bytes. true: the byte was part of the mark. */
static bool read_mark(struct sse_parser *parser, char c)
{
    if (c == MARK[parser->mark_size]) {
        if (++parser->mark_size == strlen(MARK))
            parser->at = SSE_NAME;
        return true;
    }
    /* An incomplete mark is the beginning of an unknown field's name. */
    parser->at = parser->mark_size > 0 ? SSE_SKIP : SSE_NAME;
    return false;
}

/* Bytes up to the line's end, or all. */
static size_t run_length(const char *bytes, size_t size)
{
    size_t length = 0;
    while (length < size && bytes[length] != '\n' && bytes[length] != '\r')
        length++;
    return length;
}

/* Reads one byte, or a run of a value. Returns how many. */
static size_t read_some(struct sse_parser *parser, const char *bytes, size_t size, sse_on_event on_event, void *arg)
{
    bool behind_cr = parser->after_cr;
    parser->after_cr = false;
    if (behind_cr && *bytes == '\n')
        return 1;
    if (parser->at == SSE_MARK && read_mark(parser, *bytes))
        return 1;
    if (*bytes == '\n' || *bytes == '\r') {
        parser->after_cr = *bytes == '\r';
        end_line(parser, on_event, arg);
        return 1;
    }
    if (parser->at == SSE_NAME) {
        read_name(parser, *bytes);
        return 1;
    }
    if (parser->at == SSE_SPACE) {
        parser->at = SSE_VALUE;
        if (*bytes == ' ')
            return 1;
    }
    size_t length = run_length(bytes, size);
    if (parser->at == SSE_VALUE)
        append(parser, parser->in_data ? &parser->data : &parser->name, bytes, length);
    return length;
}

enum status sse_parser_feed(struct sse_parser *parser, const char *bytes, size_t size, sse_on_event on_event, void *arg)
{
    for (size_t done = 0; done < size && parser->end == SSE_OPEN;)
        done += read_some(parser, bytes + done, size - done, on_event, arg);
    switch (parser->end) {
    case SSE_OPEN: return STATUS_OK;
    case SSE_STOPPED: return STATUS_CLOSED;
    case SSE_TOO_LARGE: break;
    }
    return STATUS_FAILED;
}
