/* Reads a response of HTTP/1.0 or 1.1 from its bytes, in pieces of any size (RFC 9112): the status line, the headers, and a body that is of a
 * known length, chunked, or ends with the connection. Provisional responses (1xx) and trailers are passed over.
 *
 * Pure: no I/O, no clock. It holds one line at most, until its end has come. The receiver is called for each header of the final response,
 * then for its body. Thread: the caller's.
 *
 * Where servers differ from the RFC it reads what libcurl reads (lines that end with a line feed alone, a chunk's extensions, a header over several
 * lines), but for what could make a response end elsewhere than its server meant: contradicting lengths, a length that is no
 * number, an unknown transfer coding or too many, a NUL or a carriage return among the headers are malformed. */
#ifndef CHAT_HTTP_HTTP_RESPONSE_H
#define CHAT_HTTP_HTTP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_BYTES_MAX 262144U /* of the lines before the body; of a chunk's; of the trailers */

struct http_receiver {
    void (*header)(const char *line, size_t size, void *arg); /* without its end; valid during the call */
    bool (*body)(const char *bytes, size_t size, void *arg);  /* false: no more is wanted */
    void *arg;
};

enum http_reading {
    HTTP_READING,
    HTTP_WHOLE,
    HTTP_REFUSED,   /* by the receiver */
    HTTP_MALFORMED, /* see problem */
    HTTP_NOT_HTTP   /* it doesn't begin as HTTP/1 does */
};

enum http_response_part {
    HTTP_PART_STATUS = 0,
    HTTP_PART_HEADERS,
    HTTP_PART_BODY,       /* of a known length */
    HTTP_PART_BODY_TO_END, /* of the connection */
    HTTP_PART_CHUNK_SIZE,
    HTTP_PART_CHUNK,
    HTTP_PART_CHUNK_END,
    HTTP_PART_TRAILERS,
    HTTP_PART_OVER
};

/* All zero: nothing read yet. */
struct http_response {
    enum http_response_part part;
    int status; /* of the final response; 0: none came */
    bool has_header, has_length, is_chunked;
    int codings; /* named by Transfer-Encoding, but for chunked */
    bool keeps_connection; /* once it is whole: the connection can carry another request */
    bool says_close, says_keep, is_old /* HTTP/1.0 */;
    uint64_t length; /* with has_length: the body's */
    uint64_t left;   /* of the body, or of the chunk */
    char *line;      /* owned: the beginning of a line whose end hasn't come */
    size_t line_size, line_capacity;
    size_t head_bytes;
    const char *problem; /* MALFORMED: why, a constant; else NULL */
};

void http_response_finish(struct http_response *response);

/* Takes the next bytes. After another result than READING it isn't called again. WHOLE: bytes behind its end are ignored, and keeps_connection is false. */
enum http_reading http_response_take(struct http_response *response, const char *bytes, size_t size, const struct http_receiver *receiver);

/* The connection has ended in an orderly way. True: with it the response, which is whole. False: it was cut off. */
bool http_response_is_ended_by_close(const struct http_response *response);

#endif
