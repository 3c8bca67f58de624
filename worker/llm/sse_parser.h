/* Server-sent events out of bytes as they come: the WHATWG's text/event-stream, cut anywhere.
 *
 * The first stage of a streamed answer: HTTP body -> sse_parser -> stream_fold. Lines end in LF, CRLF or CR; a
 * byte order mark in front is skipped; `data` lines are joined by LF; a field `error`, which some servers send, is the data of an event
 * of that name; lines of JSON without any field are data; comments and unknown fields are dropped unread, so that endless ones take no memory. `id` and `retry` are dropped as well: they serve a reconnect, and
 * the answer to a POST is never resumed. Unlike a browser's, this parser leaves bytes that aren't UTF-8 as they
 * are: the JSON inside is checked later.
 *
 * An event is dispatched by the blank line behind it, as soon as the first byte of that line's end is there. One
 * that the end of the stream cuts off isn't: see sse_parser_is_pending.
 *
 * Pure: no I/O, no clock. One thread at a time. */
#ifndef CHAT_LLM_SSE_PARSER_H
#define CHAT_LLM_SSE_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "llm/text_buffer.h"

/* Valid until the callback returns. */
struct sse_event {
    const char *name; /* "message" if the stream names none */
    const char *data; /* NUL-terminated; may hold NULs of its own; may be empty */
    size_t size;
};

/* false: no more of the stream is wanted. Must not feed or finish the parser. */
typedef bool (*sse_on_event)(void *arg, const struct sse_event *event);

/* Private, but for event_count. */
struct sse_parser {
    uint64_t event_count; /* dispatched so far; comments don't count, or they would reset an idle timer */

    size_t event_bytes_max;
    enum { SSE_MARK, SSE_NAME, SSE_SPACE, SSE_VALUE, SSE_SKIP } at; /* in which part of a line the next byte is */
    enum { SSE_OPEN, SSE_STOPPED, SSE_TOO_LARGE } end;
    bool after_cr;    /* an LF now belongs to the preceding CR */
    size_t mark_size; /* bytes of the byte order mark seen */
    char field[5];    /* the field's name so far, without NUL; a longer one is unknown */
    size_t field_size;
    bool in_data;  /* the present value is data's, else the event's name */
    bool has_data; /* a data field has begun, even an empty one */
    bool is_bare;  /* the data is JSON without a field */
    struct text_buffer name;
    struct text_buffer data;
};

/* event_bytes_max: how large an event's name and data together may be. */
void sse_parser_init(struct sse_parser *parser, size_t event_bytes_max);
void sse_parser_finish(struct sse_parser *parser); /* all zero is fine */

/* Reads size bytes and calls on_event for each event that they complete. CLOSED: the callback wanted no more,
 * and the rest is dropped. FAILED: an event is larger than event_bytes_max. Either is final: each later
 * call returns it, too. */
enum status sse_parser_feed(struct sse_parser *parser, const char *bytes, size_t size, sse_on_event on_event,
                            void *arg) MUST_CHECK;

/* Is there data without its blank line yet? If the stream ends now, that event is cut off. */
bool sse_parser_is_pending(const struct sse_parser *parser);
/* sse_parser_is_pending, and the event so far: valid until the parser is fed. */
bool sse_parser_pending(const struct sse_parser *parser, struct sse_event *ret);

#endif
