#include "http/http_response.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define STATUS_BEGIN "HTTP/1."
#define STATUS_BEGIN_BYTES (sizeof STATUS_BEGIN - 1)
#define CHUNK_DIGITS_MAX 16
#define NO_CHUNK_SIZE "a chunk without its size"
#define LONG_CHUNK "a chunk that is longer than its size"

static enum http_reading malformed(struct http_response *response, const char *problem)
{
    response->problem = problem;
    return HTTP_MALFORMED;
}

void http_response_finish(struct http_response *response)
{
    free(steal_ptr(&response->line));
    response->line_size = response->line_capacity = 0;
}

/* ---- lines ---- */

struct slice {
    const char *bytes;
    size_t size;
};

static void advance(struct slice *input, size_t by)
{
    input->bytes += by;
    input->size -= by;
}

/* The next line without its end, valid until the next call; false: its end hasn't come yet, and its beginning is kept. */
static bool take_line(struct http_response *response, struct slice *input, struct slice *ret)
{
    const char *end = memchr(input->bytes, '\n', input->size);
    size_t size = end != NULL ? (size_t)(end - input->bytes) + 1 : input->size;
    *ret = (struct slice){input->bytes, size};
    response->head_bytes += size;
    if (end == NULL || response->line_size > 0) {
        response->line = xgrow(response->line, &response->line_capacity, response->line_size + size, 1);
        memcpy(response->line + response->line_size, input->bytes, size);
        response->line_size += size;
        *ret = (struct slice){response->line, response->line_size};
    }
    advance(input, size);
    if (end == NULL)
        return false;
    response->line_size = 0;
    ret->size--;
    ret->size -= ret->size > 0 && ret->bytes[ret->size - 1] == '\r';
    return true;
}

static struct slice trimmed(struct slice text)
{
    while (text.size > 0 && (text.bytes[0] == ' ' || text.bytes[0] == '\t'))
        advance(&text, 1);
    while (text.size > 0 && (text.bytes[text.size - 1] == ' ' || text.bytes[text.size - 1] == '\t'))
        text.size--;
    return text;
}

/* ---- the status line ---- */

static bool may_begin(const char *line, size_t size)
{
    return memcmp(line, STATUS_BEGIN, size < STATUS_BEGIN_BYTES ? size : STATUS_BEGIN_BYTES) == 0;
}

/* HTTP/1.1 200 OK; the reason may be absent. */
static enum http_reading read_status(struct http_response *response, struct slice line)
{
    size_t at = STATUS_BEGIN_BYTES + 1; /* behind the minor version */
    int status = 0, digits = 0;
    if (line.size <= at || (line.bytes[at - 1] != '0' && line.bytes[at - 1] != '1') || line.bytes[at] != ' ')
        return HTTP_NOT_HTTP;
    for (at++; at < line.size && isdigit((unsigned char)line.bytes[at]) && digits < 4; at++, digits++)
        status = 10 * status + line.bytes[at] - '0';
    if (digits != 3 || status < 100 || (at < line.size && line.bytes[at] != ' '))
        return malformed(response, "a status that isn't three digits");
    response->is_old = line.bytes[STATUS_BEGIN_BYTES] == '0';
    response->status = status >= 200 ? status : 0;
    response->part = HTTP_PART_HEADERS;
    return status == 101 ? malformed(response, "101 Switching Protocols, which wasn't requested") : HTTP_READING;
}

/* ---- headers ---- */

static bool is_named(struct slice line, const char *name, struct slice *ret_value)
{
    size_t size = strlen(name);
    if (line.size <= size || line.bytes[size] != ':' || strncasecmp(line.bytes, name, size) != 0)
        return false;
    advance(&line, size + 1);
    *ret_value = trimmed(line);
    return true;
}

/* The next element of a comma-separated list; false: the list is over. */
static bool next_element(struct slice *list, struct slice *ret)
{
    while (list->size > 0) {
        const char *comma = memchr(list->bytes, ',', list->size);
        size_t size = comma != NULL ? (size_t)(comma - list->bytes) : list->size;
        *ret = trimmed((struct slice){list->bytes, size});
        advance(list, size + (comma != NULL));
        if (ret->size > 0)
            return true;
    }
    return false;
}

static bool is_word(struct slice text, const char *word)
{
    return text.size == strlen(word) && strncasecmp(text.bytes, word, text.size) == 0;
}

static bool read_number(struct slice text, uint64_t *ret)
{
    uint64_t number = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (!isdigit((unsigned char)text.bytes[i]) || number > (INT64_MAX - 9) / 10)
            return false;
        number = 10 * number + (uint64_t)(text.bytes[i] - '0');
    }
    *ret = number;
    return text.size > 0;
}

/* RFC 9110, 8.6: a repeated equal length counts once. */
static enum http_reading read_length(struct http_response *response, struct slice value)
{
    struct slice element;
    if (value.size == 0 || value.bytes[0] == ',')
        return malformed(response, "a Content-Length that is no number");
    while (next_element(&value, &element)) {
        uint64_t length;
        if (!read_number(element, &length))
            return malformed(response, "a Content-Length that is no number");
        if (response->has_length && response->length != length)
            return malformed(response, "two different Content-Lengths");
        response->has_length = true;
        response->length = length;
    }
    return HTTP_READING;
}

#define CODINGS_MAX 5 /* libcurl 7.88 refuses a sixth; 8.14 counts none that says identity */

/* A gateway that adds its own line to its server's says chunked twice, and means it once. */
static enum http_reading read_coding(struct http_response *response, struct slice value)
{
    struct slice element;
    while (next_element(&value, &element)) {
        bool chunked = is_word(element, "chunked");
        if (!chunked && (response->is_chunked || !is_word(element, "identity")))
            return malformed(response, "an unknown Transfer-Encoding");
        if (!chunked && ++response->codings > CODINGS_MAX)
            return malformed(response, "too many transfer codings");
        response->is_chunked = chunked;
    }
    return HTTP_READING;
}

static void read_connection(struct http_response *response, struct slice value)
{
    struct slice element;
    while (next_element(&value, &element)) {
        response->says_close |= is_word(element, "close");
        response->says_keep |= is_word(element, "keep-alive");
    }
}

static enum http_reading read_header(struct http_response *response, struct slice line)
{
    struct slice value;
    switch (line.bytes[0] | 0x20) {
    case 'c':
        if (is_named(line, "content-length", &value))
            return read_length(response, value);
        if (is_named(line, "connection", &value))
            read_connection(response, value);
        break;
    case 'p':
        if (is_named(line, "proxy-connection", &value))
            read_connection(response, value);
        break;
    case 't':
        if (is_named(line, "transfer-encoding", &value))
            return read_coding(response, value);
        break;
    default: break;
    }
    return HTTP_READING;
}

static enum http_reading over(struct http_response *response)
{
    response->part = HTTP_PART_OVER;
    response->keeps_connection = !response->says_close && (!response->is_old || response->says_keep);
    return HTTP_WHOLE;
}

/* RFC 9112, 6.3. */
static enum http_reading begin_body(struct http_response *response)
{
    if (response->status == 0) { /* a provisional response: the next one's status line follows */
        response->part = HTTP_PART_STATUS;
        response->has_header = response->has_length = response->is_chunked = response->says_close = response->says_keep = false;
        response->codings = 0;
        return HTTP_READING;
    }
    if (response->status == 204 || response->status == 304)
        return over(response);
    response->part = response->is_chunked ? HTTP_PART_CHUNK_SIZE : response->has_length ? HTTP_PART_BODY : HTTP_PART_BODY_TO_END;
    response->left = response->length;
    response->says_close |= response->part == HTTP_PART_BODY_TO_END;
    return response->part == HTTP_PART_BODY && response->length == 0 ? over(response) : HTTP_READING;
}

static enum http_reading end_header(struct http_response *response, struct slice line, const struct http_receiver *receiver)
{
    if (line.size == 0)
        return begin_body(response);
    bool continues = line.bytes[0] == ' ' || line.bytes[0] == '\t'; /* the header before, in an obsolete form */
    if (continues ? !response->has_header : memchr(line.bytes, ':', line.size) == NULL)
        return malformed(response, "a header without a colon");
    response->has_header = true;
    if (response->status != 0)
        receiver->header(line.bytes, line.size, receiver->arg);
    return read_header(response, line);
}

/* ---- the body ---- */

/* Hexadecimal digits, then perhaps extensions, which are passed over. */
static enum http_reading read_chunk_size(struct http_response *response, struct slice line)
{
    uint64_t size = 0;
    size_t digits = 0;
    for (; digits < line.size && isxdigit((unsigned char)line.bytes[digits]); digits++) {
        unsigned char c = (unsigned char)line.bytes[digits];
        if (digits == CHUNK_DIGITS_MAX || size > INT64_MAX >> 4)
            return malformed(response, "a chunk that is too large");
        size = size << 4 | (uint64_t)(isdigit(c) ? c - '0' : tolower(c) - 'a' + 10);
    }
    if (digits == 0)
        return malformed(response, NO_CHUNK_SIZE);
    response->left = size;
    response->part = size > 0 ? HTTP_PART_CHUNK : HTTP_PART_TRAILERS;
    response->head_bytes = 0; /* a long stream has very many chunks */
    return HTTP_READING;
}

static enum http_reading pass_body(struct http_response *response, struct slice *input, const struct http_receiver *receiver)
{
    bool to_end = response->part == HTTP_PART_BODY_TO_END;
    size_t size = to_end || input->size < response->left ? input->size : (size_t)response->left;
    const char *bytes = input->bytes;
    advance(input, size);
    response->left -= to_end ? 0 : size;
    if (!receiver->body(bytes, size, receiver->arg))
        return HTTP_REFUSED;
    if (to_end || response->left > 0)
        return HTTP_READING;
    if (response->part == HTTP_PART_BODY)
        return over(response);
    response->part = HTTP_PART_CHUNK_END;
    return HTTP_READING;
}

/* ---- the whole ---- */

/* What stands between a chunk and its line's end: nothing, or carriage returns. */
static bool is_returns(struct slice line)
{
    while (line.size > 0 && *line.bytes == '\r')
        advance(&line, 1);
    return line.size == 0;
}

/* Of a line whose end hasn't come: what can't become right ends now, so that nobody waits for the rest. */
static enum http_reading judge_beginning(struct http_response *response, struct slice line)
{
    switch (response->part) {
    case HTTP_PART_STATUS: return may_begin(line.bytes, line.size) ? HTTP_READING : HTTP_NOT_HTTP;
    case HTTP_PART_CHUNK_SIZE: return isxdigit((unsigned char)line.bytes[0]) ? HTTP_READING : malformed(response, NO_CHUNK_SIZE);
    case HTTP_PART_CHUNK_END: return is_returns(line) ? HTTP_READING : malformed(response, LONG_CHUNK);
    default: return HTTP_READING;
    }
}

static enum http_reading read_line(struct http_response *response, struct slice line, const struct http_receiver *receiver)
{
    if (response->part == HTTP_PART_STATUS && !may_begin(line.bytes, line.size))
        return HTTP_NOT_HTTP;
    bool is_head = response->part == HTTP_PART_STATUS || response->part == HTTP_PART_HEADERS;
    if (is_head && (memchr(line.bytes, '\0', line.size) != NULL || memchr(line.bytes, '\r', line.size) != NULL))
        return malformed(response, "a NUL or a carriage return among the headers");
    switch (response->part) {
    case HTTP_PART_STATUS: return read_status(response, line);
    case HTTP_PART_HEADERS: return end_header(response, line, receiver);
    case HTTP_PART_CHUNK_SIZE: return read_chunk_size(response, line);
    case HTTP_PART_CHUNK_END:
        response->part = HTTP_PART_CHUNK_SIZE;
        return is_returns(line) ? HTTP_READING : malformed(response, LONG_CHUNK);
    default: return line.size == 0 ? over(response) : HTTP_READING; /* a trailer */
    }
}

static enum http_reading take_part(struct http_response *response, struct slice *input, const struct http_receiver *receiver)
{
    struct slice line;
    if (response->part == HTTP_PART_BODY || response->part == HTTP_PART_BODY_TO_END || response->part == HTTP_PART_CHUNK)
        return pass_body(response, input, receiver);
    bool ended = take_line(response, input, &line);
    if (response->head_bytes > HTTP_HEAD_BYTES_MAX)
        return malformed(response, "headers that are too long");
    return ended ? read_line(response, line, receiver) : judge_beginning(response, line);
}

enum http_reading http_response_take(struct http_response *response, const char *bytes, size_t size, const struct http_receiver *receiver)
{
    struct slice input = {bytes, size};
    enum http_reading reading = HTTP_READING;
    while (input.size > 0 && reading == HTTP_READING)
        reading = take_part(response, &input, receiver);
    if (response->part >= HTTP_PART_BODY && response->line_size == 0)
        http_response_finish(response); /* a call waits long for its body */
    response->keeps_connection = response->keeps_connection && input.size == 0;
    return reading;
}

bool http_response_is_ended_by_close(const struct http_response *response)
{
    return response->part == HTTP_PART_BODY_TO_END;
}
