/* Server-sent events by the WHATWG's text, cut anywhere: by hand, and by seeds compared with what was written. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "llm/sse_parser.h"

/* Events as a line of text: `[name] data;` each, with \n for LF and \0 for NUL. */
struct heard {
    char text[8192];
    size_t size;
    int stop_after; /* 0: never */
};

static void note(struct heard *heard, const char *bytes, size_t size)
{
    cr_assert_lt(heard->size + 2 * size, sizeof heard->text);
    for (size_t i = 0; i < size; i++) {
        bool plain = bytes[i] != '\n' && bytes[i] != '\0';
        if (!plain)
            heard->text[heard->size++] = '\\';
        heard->text[heard->size++] = plain ? bytes[i] : bytes[i] == '\n' ? 'n' : '0';
    }
    heard->text[heard->size] = '\0';
}

static bool hear(void *arg, const struct sse_event *event)
{
    struct heard *heard = arg;
    cr_assert_eq(event->data[event->size], '\0');
    note(heard, "[", 1);
    note(heard, event->name, strlen(event->name));
    note(heard, "] ", 2);
    note(heard, event->data, event->size);
    note(heard, ";", 1);
    return heard->stop_after == 0 || --heard->stop_after > 0;
}

#define BYTES(text) text, sizeof(text) - 1

static const struct {
    const char *bytes;
    size_t size;
    const char *want;
    bool pending;
} streams[] = {
    {BYTES(""), "", false},
    {BYTES("data: a\n\n"), "[message] a;", false},
    {BYTES("data:a\n\ndata:  b \n\n"), "[message] a;[message]  b ;", false},
    {BYTES("data: a\ndata: b\ndata\ndata:\n\n"), "[message] a\\nb\\n\\n;", false},
    {BYTES("data\n\ndata\ndata\n\ndata:"), "[message] ;[message] \\n;", true}, /* an example of the WHATWG's */
    {BYTES("data: +2\nid: 1\n: c\nretry: 10\nfoo: x\ndata:d:e\n\n"), "[message] +2\\nd:e;", false},
    {BYTES("event: add\ndata: 1\n\ndata: 2\n\n"), "[add] 1;[message] 2;", false},
    {BYTES("event: one\nevent: two\ndata: 1\n\nevent:x\nevent\ndata: 2\n\n"), "[two] 1;[message] 2;", false},
    {BYTES("event: lost\n\ndata: 1\n\n"), "[message] 1;", false},
    {BYTES("data: 1\nevent: late\n\n"), "[late] 1;", false},
    {BYTES(": only\n\n:\n\n::\n\n"), "", false},
    {BYTES("\n\n\r\n\r\rdata: a\n\n\n\n"), "[message] a;", false},
    {BYTES("data: a\r\n\r\ndata: b\r\rdata: c\n\r\ndata: d\r\n\n"), "[message] a;[message] b;[message] c;[message] d;", false},
    {BYTES("data: a\r\ndata: b\rdata: c\ndata: d\r\n\r"), "[message] a\\nb\\nc\\nd;", false},
    {BYTES("\xef\xbb\xbf" "data: a\n\n"), "[message] a;", false},
    {BYTES("\xef\xbb\xbf\xef\xbb\xbf" "data: a\n\ndata: b\n\n"), "[message] b;", false},
    {BYTES("\xef\xbb" "data: a\ndata: b\n\n"), "[message] b;", false},
    {BYTES("data: a\n\n\xef\xbb\xbf" "data: b\n\n"), "[message] a;", false}, /* in front only */
    {BYTES("\xef\n" "data: a\n\n"), "[message] a;", false},
    {BYTES("data: a\0b\n\nevent: e\ndata: \0\n\n"), "[message] a\\0b;[e] \\0;", false},
    {BYTES("dat\0: a\n\n data: b\n\nDATA: c\n\ndata : d\n\ndatas: e\n\nevents: f\n\n"), "", false},
    {BYTES("data: h\xc3\xa9 \xf0\x9f\x98\x80 \xff\n\n"), "[message] h\xc3\xa9 \xf0\x9f\x98\x80 \xff;", false},
    {BYTES("data: a\n"), "", true},
    {BYTES("data: a\n\ndata: {\"cut"), "[message] a;", true},
    {BYTES("data: a\n\nevent: x\nid: 7\n: c\ndat"), "[message] a;", false},
};
#define STREAMS (sizeof streams / sizeof streams[0])

/* Feeds bytes in pieces of the sizes that cut(state) gives. A piece has memory of its own, so that ASan sees a read beyond it. */
static void feed(struct sse_parser *parser, const char *bytes, size_t size, struct heard *heard, size_t (*cut)(unsigned *),
                 unsigned state)
{
    for (size_t done = 0; done < size;) {
        size_t length = cut(&state);
        if (length > size - done)
            length = size - done;
        AUTO_FREE char *piece = malloc(length);
        memcpy(piece, bytes + done, length);
        cr_assert_eq(sse_parser_feed(parser, piece, length, hear, heard), STATUS_OK);
        done += length;
    }
}

static size_t whole(unsigned *state) { (void)state; return SIZE_MAX; }
static size_t single(unsigned *state) { (void)state; return 1; }
static size_t random_length(unsigned *state) { return 1 + (size_t)rand_r(state) % 9; }

Test(sse_parser, reads_what_the_specification_says)
{
    size_t (*const cuts[])(unsigned *) = {whole, single, random_length};
    for (size_t i = 0; i < STREAMS; i++)
        for (size_t c = 0; c < sizeof cuts / sizeof cuts[0]; c++) {
            struct heard heard = {0};
            struct sse_parser parser;
            sse_parser_init(&parser, 100);
            feed(&parser, streams[i].bytes, streams[i].size, &heard, cuts[c], (unsigned)i);
            cr_expect_str_eq(heard.text, streams[i].want, "stream %zu, cut %zu: %s", i, c, heard.text);
            cr_expect_eq(sse_parser_is_pending(&parser), streams[i].pending, "stream %zu, cut %zu", i, c);
            sse_parser_finish(&parser);
        }
}

Test(sse_parser, dispatches_at_the_first_byte_of_the_blank_lines_end)
{
    struct heard heard = {0};
    struct sse_parser parser;
    sse_parser_init(&parser, 100);
    cr_expect_eq(sse_parser_feed(&parser, "data: a\r\n\r", 10, hear, &heard), STATUS_OK);
    cr_expect_str_eq(heard.text, "[message] a;", "not only when the LF comes");
    cr_expect_eq(sse_parser_feed(&parser, "\ndata: b\r\n\r", 11, hear, &heard), STATUS_OK);
    cr_expect_str_eq(heard.text, "[message] a;[message] b;");
    sse_parser_finish(&parser);
}

/* Anchor 8: comments would reset idle timers that count bytes. */
Test(sse_parser, counts_events_but_no_comments)
{
    struct heard heard = {0};
    struct sse_parser parser;
    sse_parser_init(&parser, 100);
    cr_expect_eq(sse_parser_feed(&parser, BYTES(": wait\n\nid: 1\n\nevent: ping\n\nretry: 5\n\ndata: cut"), hear, &heard), STATUS_OK);
    cr_expect_eq(parser.event_count, 0);
    cr_expect_eq(sse_parser_feed(&parser, BYTES(" off\n: wait\n\n: wait\n\n"), hear, &heard), STATUS_OK);
    cr_expect_eq(parser.event_count, 1);
    sse_parser_finish(&parser);
}

static enum status feed_whole(size_t event_bytes_max, const char *bytes, struct heard *heard)
{
    struct sse_parser parser;
    sse_parser_init(&parser, event_bytes_max);
    enum status rc = sse_parser_feed(&parser, bytes, strlen(bytes), hear, heard);
    if (rc != STATUS_OK) {
        size_t before = heard->size;
        cr_expect_eq(sse_parser_feed(&parser, BYTES("\n\ndata: a\n\n"), hear, heard), rc, "an end is for good");
        cr_expect_eq(heard->size, before);
    }
    sse_parser_finish(&parser);
    return rc;
}

Test(sse_parser, bounds_an_event)
{
    static const struct {
        size_t max;
        const char *bytes;
        enum status want;
    } rows[] = {
        {4, "data: 1234\n\ndata: 1234\n\n", STATUS_OK}, /* each event for itself */
        {4, "data: 12345", STATUS_FAILED},
        {4, "data: 12\ndata: 3\n\n", STATUS_OK},
        {4, "data: 12\ndata: 34\n\n", STATUS_FAILED}, /* with the LF between them */
        {4, "event: ab\ndata: 12\n\n", STATUS_OK},
        {4, "event: ab\ndata: 123\n\n", STATUS_FAILED},
        {4, "event: abc\nevent: d\ndata: 123\n\n", STATUS_OK},
        {4, ": a comment may be long\nid: and an id, too\nan unknown field: as well\ndata: 1\n\n", STATUS_OK},
        {0, "data:\n\n", STATUS_OK},
        {0, "data:\ndata:\n\n", STATUS_FAILED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct heard heard = {0};
        cr_expect_eq(feed_whole(rows[i].max, rows[i].bytes, &heard), rows[i].want, "%s", rows[i].bytes);
    }
}

Test(sse_parser, takes_no_memory_for_endless_comments)
{
    static char comment[1 << 16];
    struct heard heard = {0};
    struct sse_parser parser;
    memset(comment, ':', sizeof comment);
    sse_parser_init(&parser, 8);
    for (int i = 0; i < 64; i++)
        cr_assert_eq(sse_parser_feed(&parser, comment, sizeof comment, hear, &heard), STATUS_OK);
    cr_expect_null(parser.data.bytes);
    cr_expect_null(parser.name.bytes);
    cr_expect_eq(sse_parser_feed(&parser, BYTES("\ndata: a\n\n"), hear, &heard), STATUS_OK);
    cr_expect_str_eq(heard.text, "[message] a;");
    sse_parser_finish(&parser);
}

Test(sse_parser, stops_where_the_callback_wants_no_more)
{
    struct heard heard = {.stop_after = 2};
    cr_expect_eq(feed_whole(100, "data: a\n\ndata: b\n\ndata: c\n\n", &heard), STATUS_CLOSED);
    cr_expect_str_eq(heard.text, "[message] a;[message] b;");
}

Test(sse_parser, all_zero_can_be_finished)
{
    struct sse_parser parser = {0};
    sse_parser_finish(&parser);
    sse_parser_finish(&parser);
}

/* ---- the property: however the bytes are cut, what was written is read ---- */

struct writer {
    char bytes[8192];
    size_t size;
    unsigned state;
};

static void put(struct writer *writer, const char *text, size_t size)
{
    cr_assert_lt(writer->size + size, sizeof writer->bytes);
    memcpy(writer->bytes + writer->size, text, size);
    writer->size += size;
}

static int pick(struct writer *writer, int choices)
{
    return rand_r(&writer->state) % choices;
}

/* The end of a line. A lone CR must not come before an LF: that would be one line end. */
static void put_end(struct writer *writer)
{
    static const char *const ends[] = {"\n", "\r\n", "\r"};
    const char *end = ends[pick(writer, 3)];
    if (end[0] == '\n' && writer->size > 0 && writer->bytes[writer->size - 1] == '\r')
        end = "\r\n";
    put(writer, end, strlen(end));
}

static void put_noise(struct writer *writer)
{
    static const char *const noise[] = {":", ": a comment", "id: 3", "retry: 10", "id", "some: thing", "dataa: x", "dat"};
    while (pick(writer, 3) == 0) {
        const char *line = noise[pick(writer, 8)];
        put(writer, line, strlen(line));
        put_end(writer);
    }
}

/* Random text of a line, also appended to the expected value. */
static void put_value(struct writer *writer, struct heard *want)
{
    static const char *const pieces[] = {"a", " ", ":", "data: ", "\xc3\xa9", "\xf0\x9f\x98\x80", "\xef\xbb\xbf", "{\"x\":1}"};
    put(writer, ": ", 2);
    for (int n = pick(writer, 6); n > 0; n--) {
        bool zero = pick(writer, 20) == 0;
        const char *piece = zero ? "\0" : pieces[pick(writer, 8)];
        size_t size = zero ? 1 : strlen(piece);
        put(writer, piece, size);
        if (want != NULL)
            note(want, piece, size);
    }
    put_end(writer);
}

static void put_event(struct writer *writer, struct heard *want)
{
    static const char *const names[] = {"message", "error", "ping"};
    const char *name = names[pick(writer, 3)];
    int lines = pick(writer, 4);
    put_noise(writer);
    if (pick(writer, 4) == 0) { /* one that is replaced below */
        put(writer, "event", 5);
        put_value(writer, NULL);
    }
    put(writer, "event:", 6);
    put(writer, name, strlen(name));
    put_end(writer);
    if (lines > 0) {
        note(want, "[", 1);
        note(want, name, strlen(name));
        note(want, "] ", 2);
    }
    for (int i = 0; i < lines; i++) {
        put_noise(writer);
        put(writer, "data", 4);
        if (i > 0)
            note(want, "\n", 1);
        put_value(writer, want);
    }
    put_noise(writer);
    put_end(writer);
    if (lines > 0)
        note(want, ";", 1);
}

Test(sse_parser, reads_what_was_written_however_it_is_cut)
{
    for (unsigned seed = 1; seed <= 500; seed++) {
        struct writer writer = {.state = seed};
        struct heard want = {0}, at_once = {0}, in_pieces = {0}, byte_by_byte = {0};
        if (pick(&writer, 3) == 0)
            put(&writer, "\xef\xbb\xbf", 3);
        for (int n = pick(&writer, 8); n > 0; n--)
            put_event(&writer, &want);
        struct heard *const heard[] = {&at_once, &in_pieces, &byte_by_byte};
        size_t (*const cuts[])(unsigned *) = {whole, random_length, single};
        for (size_t i = 0; i < 3; i++) {
            struct sse_parser parser;
            sse_parser_init(&parser, 1000);
            feed(&parser, writer.bytes, writer.size, heard[i], cuts[i], seed);
            cr_assert_str_eq(heard[i]->text, want.text, "seed %u, cut %zu", seed, i);
            cr_assert(!sse_parser_is_pending(&parser));
            sse_parser_finish(&parser);
        }
    }
}
