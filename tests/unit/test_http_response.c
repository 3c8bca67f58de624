/* Responses of HTTP/1.0 and 1.1, cut anywhere: by hand, and by seeds as libcurl itself reads the same bytes. */
#include <criterion/criterion.h>

#include "../lib/http_oracle.h"

#define OK "HTTP/1.1 200 OK\r\n"

static const struct {
    const char *bytes, *body; /* NULL: it is no whole response */
    int status;
    enum http_reading reading;
    bool keeps; /* the connection */
} responses[] = {
    {OK "Content-Length: 2\r\n\r\nhi", "hi", 200, HTTP_WHOLE, true},
    {OK "content-length:2\r\n\r\nhi", "hi", 200, HTTP_WHOLE, true},
    {OK "Content-Length: 2, 2\r\nContent-Length: 2\r\n\r\nhi", "hi", 200, HTTP_WHOLE, true},
    {OK "Content-Length: 0\r\n\r\n", "", 200, HTTP_WHOLE, true},
    {OK "Content-Length: 2\r\n\r\nhi!", "hi", 200, HTTP_WHOLE, false}, /* bytes behind its end */
    {OK "Content-Length: 2\r\nConnection: close\r\n\r\nhi", "hi", 200, HTTP_WHOLE, false},
    {OK "Content-Length: 2\r\nConnection: x, Close\r\n\r\nhi", "hi", 200, HTTP_WHOLE, false},
    {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", "hi", 200, HTTP_WHOLE, false},
    {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi", "hi", 200, HTTP_WHOLE, true},
    {"HTTP/1.1 200\nContent-Length: 2\n\nhi", "hi", 200, HTTP_WHOLE, true},
    {OK "\r\nto the end", "to the end", 200, HTTP_READING, false},
    {"HTTP/1.0 200 OK\r\n\r\n", "", 200, HTTP_READING, false},
    {"HTTP/1.1 204 No Content\r\n\r\n", "", 204, HTTP_WHOLE, true},
    {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "", 204, HTTP_WHOLE, true},
    {"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", "", 304, HTTP_WHOLE, true},
    {"HTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 2\r\n\r\nhi", "hi", 200, HTTP_WHOLE, true},
    {"HTTP/1.1 103 Early Hints\r\nConnection: close\r\nContent-Length: 9\r\n\r\nHTTP/1.1 429 Slow\r\nContent-Length: 2\r\n\r\nhi", "hi", 429, HTTP_WHOLE, true},
    {OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "hi", 200, HTTP_WHOLE, true},
    {OK "Transfer-Encoding: Chunked\r\n\r\n2 ; x=\"y\"\r\nhi\r\nA\r\n and more.\r\n000\r\nTrailer: x\r\nNo colon\r\n\r\n", "hi and more.", 200, HTTP_WHOLE, true},
    {OK "Transfer-Encoding: chunked\n\n2\nhi\n0\n\n", "hi", 200, HTTP_WHOLE, true},
    {OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "hi", 200, HTTP_WHOLE, true},
    {OK "Transfer-Encoding: identity, chunked, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "hi", 200, HTTP_WHOLE, true},
    {OK "Content-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "hi", 200, HTTP_WHOLE, true},
    {OK "Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi", "hi", 200, HTTP_WHOLE, true},
    {OK "Transfer-Encoding: identity, identity\r\nTransfer-Encoding: identity, identity, identity, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "hi", 200, HTTP_WHOLE, true},
    {"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: identity, identity, identity, identity, identity\r\n\r\n" OK "Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi", "hi", 200, HTTP_WHOLE, true},
    {OK "X-Long: a\r\n  b: c\r\nContent-Length: 2\r\n\r\nhi", "hi", 200, HTTP_WHOLE, true},
    {OK "Content-Length: 3\r\n\r\nhi", NULL, 200, HTTP_READING, false},
    {OK "Content-Length: 3\r\n", NULL, 200, HTTP_READING, false},
    {OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n", NULL, 200, HTTP_READING, false},
    {OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", NULL, 200, HTTP_READING, false},
    {"", NULL, 0, HTTP_READING, false},
    {"HTTP/1.1 100 Continue\r\n\r\n", NULL, 0, HTTP_READING, false},
    {OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi!\r\n0\r\n\r\n", NULL, 200, HTTP_MALFORMED, false},
    {OK "Transfer-Encoding: chunked\r\n\r\nx\r\n", NULL, 200, HTTP_MALFORMED, false},
    {OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi!", NULL, 200, HTTP_MALFORMED, false}, /* a line without its end, as the next two */
    {OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r!", NULL, 200, HTTP_MALFORMED, false},
    {OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n<", NULL, 200, HTTP_MALFORMED, false},
    {OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r", NULL, 200, HTTP_READING, false},
    {OK "Transfer-Encoding: chunked\r\n\r\n0000000000000002\r\nhi\r\r\n0000000000000000\r\n\r\n", "hi", 200, HTTP_WHOLE, true},
    {OK "Transfer-Encoding: chunked\r\n\r\n8000000000000000\r\n", NULL, 200, HTTP_MALFORMED, false},
    {OK "Transfer-Encoding: chunked\r\n\r\n00000000000000001\r\n", NULL, 200, HTTP_MALFORMED, false},
    {OK "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n", NULL, 200, HTTP_MALFORMED, false},
    {OK "Transfer-Encoding: identity, identity, identity\r\nTransfer-Encoding: identity, identity, identity\r\nContent-Length: 2\r\n\r\nhi", NULL, 200, HTTP_MALFORMED, false},
    {OK "Transfer-Encoding: gzip, chunked\r\n\r\n", NULL, 200, HTTP_MALFORMED, false},
    {OK "Transfer-Encoding: chunked, gzip\r\n\r\n", NULL, 200, HTTP_MALFORMED, false},
    {OK "Transfer-Encoding: chunked, identity\r\n\r\n", NULL, 200, HTTP_MALFORMED, false},
    {OK "Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi", NULL, 200, HTTP_MALFORMED, false},
    {OK "Content-Length: -1\r\n\r\n", NULL, 200, HTTP_MALFORMED, false},
    {OK "Content-Length: \r\n\r\n", NULL, 200, HTTP_MALFORMED, false},
    {OK "Content-Length: 9223372036854775808\r\n\r\n", NULL, 200, HTTP_MALFORMED, false},
    {OK "No colon\r\n\r\n", NULL, 200, HTTP_MALFORMED, false},
    {OK " Continues: nothing\r\n\r\n", NULL, 200, HTTP_MALFORMED, false},
    {OK "A: b\rc\r\n\r\n", NULL, 200, HTTP_MALFORMED, false},
    {"HTTP/1.1 101 Switching Protocols\r\n\r\n", NULL, 0, HTTP_MALFORMED, false},
    {"HTTP/1.1 2000 OK\r\n\r\n", NULL, 0, HTTP_MALFORMED, false},
    {"HTTP/1.1 20 OK\r\n\r\n", NULL, 0, HTTP_MALFORMED, false},
    {"HTTP/1.1 200OK\r\n\r\n", NULL, 0, HTTP_MALFORMED, false},
    {"HTTP/2 200\r\n\r\n", NULL, 0, HTTP_NOT_HTTP, false},
    {"HTTP/1.2 200 OK\r\n\r\n", NULL, 0, HTTP_NOT_HTTP, false},
    {"\r\nHTTP/1.1 200 OK\r\n\r\n", NULL, 0, HTTP_NOT_HTTP, false},
    {"SSH-2.0-OpenSSH_9.2\r\n", NULL, 0, HTTP_NOT_HTTP, false},
    {"HTX", NULL, 0, HTTP_NOT_HTTP, false},
};

static bool keeps_connection(const char *bytes, size_t size)
{
    struct http_read read = {0};
    const struct http_receiver receiver = {http_oracle_header, http_oracle_body, &read};
    struct http_response response = {0};
    (void)http_response_take(&response, bytes, size, &receiver);
    http_response_finish(&response);
    http_read_finish(&read);
    return response.keeps_connection;
}

Test(http_response, is_read_alike_however_it_is_cut)
{
    for (size_t i = 0; i < sizeof responses / sizeof responses[0]; i++) {
        const char *bytes = responses[i].bytes;
        size_t size = strlen(bytes);
        for (size_t step = 1; step <= size + 1; step++) {
            struct http_read read;
            http_read_ours(bytes, size, step, &read);
            cr_expect_eq(read.good, responses[i].body != NULL, "%s by %zu", bytes, step);
            cr_expect_eq(read.reading, responses[i].reading, "%s by %zu: %d", bytes, step, read.reading);
            cr_expect_eq(read.problem != NULL, read.reading == HTTP_MALFORMED, "%s", bytes);
            if (read.reading != HTTP_MALFORMED) /* of others it is what came before */
                cr_expect_eq(read.status, responses[i].status, "%s by %zu: %d", bytes, step, read.status);
            if (read.good)
                cr_expect_str_eq(text_buffer_text(&read.body), responses[i].body, "%s by %zu", bytes, step);
            http_read_finish(&read);
        }
        if (size > 0)
            cr_expect_eq(keeps_connection(bytes, size), responses[i].keeps, "%s", bytes);
    }
}

Test(http_response, is_read_as_libcurl_reads_it)
{
    for (size_t i = 0; i < sizeof responses / sizeof responses[0]; i++) {
        struct http_read ours, theirs;
        http_read_ours(responses[i].bytes, strlen(responses[i].bytes), 1, &ours);
        http_read_libcurls(responses[i].bytes, strlen(responses[i].bytes), &theirs);
        cr_expect_null(http_reads_differ(&ours, &theirs), "%s: %s (%s)", responses[i].bytes, http_reads_differ(&ours, &theirs), theirs.problem);
        http_read_finish(&ours);
        http_read_finish(&theirs);
    }
}

/* ---- headers and bounds ---- */

struct heard {
    struct text_buffer headers;
    size_t body;
};

static void hear_header(const char *line, size_t size, void *arg)
{
    struct heard *heard = arg;
    text_buffer_append(&heard->headers, line, size);
    text_buffer_append(&heard->headers, ";", 1);
}

static bool hear_body(const char *bytes, size_t size, void *arg)
{
    (void)bytes;
    struct heard *heard = arg;
    heard->body += size;
    return heard->body < 5;
}

Test(http_response, passes_on_the_final_headers_and_ends_where_no_more_is_wanted)
{
    static const char bytes[] = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nRetry-After: 2\r\nX:y\r\nContent-Length: 6\r\n\r\n123456";
    for (size_t step = 1; step < sizeof bytes; step++) {
        struct heard heard = {0};
        struct http_response response = {0};
        const struct http_receiver receiver = {hear_header, hear_body, &heard};
        enum http_reading reading = HTTP_READING;
        for (size_t at = 0; at < sizeof bytes - 1 && reading == HTTP_READING; at += step)
            reading = http_response_take(&response, bytes + at, sizeof bytes - 1 - at < step ? sizeof bytes - 1 - at : step, &receiver);
        cr_expect_eq(reading, HTTP_REFUSED);
        cr_expect_str_eq(text_buffer_text(&heard.headers), "Retry-After: 2;X:y;Content-Length: 6;");
        http_response_finish(&response);
        text_buffer_finish(&heard.headers);
    }
}

static enum http_reading read_lines(const char *line, size_t count)
{
    struct heard heard = {0};
    struct http_response response = {0};
    const struct http_receiver receiver = {hear_header, hear_body, &heard};
    enum http_reading reading = http_response_take(&response, OK, sizeof OK - 1, &receiver);
    for (; count > 0 && reading == HTTP_READING; count--)
        reading = http_response_take(&response, line, strlen(line), &receiver);
    cr_expect_leq(response.line_capacity, 2 * HTTP_HEAD_BYTES_MAX);
    http_response_finish(&response);
    text_buffer_finish(&heard.headers);
    return reading;
}

Test(http_response, headers_without_an_end_are_bounded)
{
    cr_expect_eq(read_lines("Name: value\r\n", 1000), HTTP_READING);
    cr_expect_eq(read_lines("Name: value\r\n", HTTP_HEAD_BYTES_MAX), HTTP_MALFORMED);
    cr_expect_eq(read_lines("one line that never ends ", HTTP_HEAD_BYTES_MAX), HTTP_MALFORMED);
}

static bool count_body(const char *bytes, size_t size, void *arg)
{
    (void)bytes;
    ((struct heard *)arg)->body += size;
    return true;
}

Test(http_response, a_stream_may_have_any_number_of_chunks)
{
    static const char head[] = OK "Transfer-Encoding: chunked\r\n\r\n";
    struct heard heard = {0};
    struct http_response response = {0};
    const struct http_receiver receiver = {hear_header, count_body, &heard};
    cr_expect_eq(http_response_take(&response, head, sizeof head - 1, &receiver), HTTP_READING);
    for (size_t i = 0; i < HTTP_HEAD_BYTES_MAX; i++)
        cr_assert_eq(http_response_take(&response, "1\r\nx\r\n", 6, &receiver), HTTP_READING);
    cr_expect_eq(http_response_take(&response, "0\r\n\r\n", 5, &receiver), HTTP_WHOLE);
    cr_expect_eq(heard.body, HTTP_HEAD_BYTES_MAX);
    http_response_finish(&response);
    text_buffer_finish(&heard.headers);
}

/* ---- by seeds ---- */

static unsigned drawn(uint64_t *seed, unsigned below)
{
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned)(*seed >> 33) % below;
}

static void add(struct text_buffer *to, const char *text)
{
    text_buffer_append(to, text, strlen(text));
}

static const char *any(uint64_t *seed, const char *const *of, size_t count)
{
    return of[drawn(seed, (unsigned)count)];
}
#define ANY(seed, ...) any(seed, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void add_chunks(uint64_t *seed, struct text_buffer *to)
{
    for (unsigned i = drawn(seed, 4); i > 0; i--) {
        char size[64];
        unsigned length = 1 + drawn(seed, 40);
        snprintf(size, sizeof size, drawn(seed, 2) != 0 ? "%x%s\r\n" : "%X%s\r\n", length, ANY(seed, "", "", ";a=b", " "));
        add(to, size);
        for (; length > 0; length--)
            add(to, ANY(seed, "a", "\n", "{", "0"));
        add(to, ANY(seed, "\r\n", "\r\n", "\r\n", "\n"));
    }
    add(to, ANY(seed, "0\r\n\r\n", "0\r\n\r\n", "0\r\nTrailer: x\r\n\r\n", "0\n\n", "0\r\n", ""));
}

static void draw_response(uint64_t *seed, struct text_buffer *to)
{
    add(to, ANY(seed, "", "", "", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"));
    add(to, ANY(seed, "HTTP/1.1 ", "HTTP/1.1 ", "HTTP/1.0 ", "HTTP/1.1  "));
    add(to, ANY(seed, "200 OK", "200", "204 No Content", "304 Not Modified", "429 Too Many", "500 "));
    add(to, ANY(seed, "\r\n", "\r\n", "\n"));
    for (unsigned i = drawn(seed, 4); i > 0; i--)
        add(to, ANY(seed, "Content-Type: application/json\r\n", "X: \r\n", "Connection: close\r\n", "Connection: keep-alive\r\n", "A: b\r\n c\r\n", "Server: x\n"));
    if (drawn(seed, 2) != 0) {
        add(to, ANY(seed, "Transfer-Encoding: chunked\r\n", "transfer-encoding:  chunked \r\n", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"));
        add(to, "\r\n");
        add_chunks(seed, to);
        return;
    }
    add(to, ANY(seed, "Content-Length: 5\r\n", "Content-Length:5\r\n", "Content-Length: 0\r\n", "", "Content-Length: x\r\n", "Content-Length: 5\r\nContent-Length: 5\r\n"));
    add(to, ANY(seed, "\r\n", "\r\n", "\n"));
    add(to, ANY(seed, "hello", "hello", "hell", "hello!", ""));
}

static void spoil(uint64_t *seed, struct text_buffer *bytes)
{
    for (unsigned i = drawn(seed, 3); i > 0 && bytes->size > 0; i--)
        bytes->bytes[drawn(seed, (unsigned)bytes->size)] = ANY(seed, "\r", "\n", ":", " ", "0", "f", ",", ";", "H")[0];
}

Test(http_response, drawn_by_seeds_is_read_as_libcurl_reads_it)
{
    size_t good = 0;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        uint64_t state = seed;
        struct text_buffer bytes = {0};
        struct http_read ours, theirs;
        draw_response(&state, &bytes);
        if (seed % 3 == 0)
            spoil(&state, &bytes);
        http_read_ours(text_buffer_text(&bytes), bytes.size, 1, &ours);
        http_read_libcurls(text_buffer_text(&bytes), bytes.size, &theirs);
        cr_expect_null(http_reads_differ(&ours, &theirs), "seed %lu: %s (%s, %s):\n%s", (unsigned long)seed, http_reads_differ(&ours, &theirs),
                       ours.problem != NULL ? ours.problem : "", theirs.problem, text_buffer_text(&bytes));
        good += ours.good;
        http_read_finish(&ours);
        http_read_finish(&theirs);
        text_buffer_finish(&bytes);
    }
    cr_expect_gt(good, 1000);
}
