/* What libcurl itself reads of a response's bytes, to hold http/http_response.h against: both get the same bytes, then the end of the connection. */
#ifndef CHAT_TESTS_HTTP_ORACLE_H
#define CHAT_TESTS_HTTP_ORACLE_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "http/http_response.h"
#include "llm/text_buffer.h"

#define ORACLE_BYTES_MAX 65536 /* what a socket takes without being read */

struct http_read {
    bool good; /* a whole response */
    bool names_coding;
    bool is_by_length; /* though it names a coding, which isn't chunked */
    size_t in_trailers; /* bytes; counted where the pieces are of one byte */
    int status;
    struct text_buffer body;
    const char *problem;
    enum http_reading reading; /* ours */
    enum http_response_part part;
};

static inline void http_read_finish(struct http_read *read)
{
    text_buffer_finish(&read->body);
}

static inline void http_oracle_header(const char *line, size_t size, void *arg)
{
    static const char coding[] = "transfer-encoding:";
    if (size >= sizeof coding - 1 && strncasecmp(line, coding, sizeof coding - 1) == 0)
        ((struct http_read *)arg)->names_coding = true;
}

static inline bool http_oracle_body(const char *bytes, size_t size, void *arg)
{
    text_buffer_append(&((struct http_read *)arg)->body, bytes, size);
    return true;
}

/* In pieces of step bytes, each in memory of its own: ASan sees a read beyond it. */
static inline void http_read_ours(const char *bytes, size_t size, size_t step, struct http_read *ret)
{
    struct http_response response = {0};
    const struct http_receiver receiver = {http_oracle_header, http_oracle_body, ret};
    *ret = (struct http_read){.reading = HTTP_READING};
    for (size_t done = 0; done < size && ret->reading == HTTP_READING;) {
        size_t length = size - done < step ? size - done : step;
        AUTO_FREE char *piece = malloc(length);
        memcpy(piece, bytes + done, length);
        ret->in_trailers += response.part == HTTP_PART_TRAILERS;
        ret->reading = http_response_take(&response, piece, length, &receiver);
        done += length;
    }
    ret->good = ret->reading == HTTP_WHOLE || (ret->reading == HTTP_READING && http_response_is_ended_by_close(&response));
    ret->status = response.status;
    ret->problem = response.problem;
    ret->is_by_length = ret->names_coding && response.has_length && !response.is_chunked;
    ret->part = response.part;
    http_response_finish(&response);
}

/* Of this process: an abstract socket that connections wait at until they are accepted. */
static inline int http_oracle_listener(char *name, size_t name_size)
{
    static int listener = -1;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(name, name_size, "http-oracle-%ld", (long)getpid());
    if (listener >= 0)
        return listener;
    memcpy(address.sun_path + 1, name, strlen(name));
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))) != 0 || listen(listener, 8) != 0)
        abort();
    return listener;
}

static inline size_t http_oracle_take(char *data, size_t unit, size_t count, void *arg)
{
    text_buffer_append(&((struct http_read *)arg)->body, data, unit * count);
    return unit * count;
}

/* Carries the call out while this thread plays the server, too. */
static inline CURLcode http_oracle_perform(CURL *easy, int listener, const char *bytes, size_t size)
{
    CURLM *multi = curl_multi_init();
    int running = 1, left = 0, server = -1;
    curl_multi_add_handle(multi, easy);
    while (running > 0) {
        if (curl_multi_perform(multi, &running) != CURLM_OK)
            abort();
        if (server >= 0)
            continue;
        server = accept(listener, NULL, NULL);
        if (send(server, bytes, size, 0) != (ssize_t)size || shutdown(server, SHUT_WR) != 0)
            abort();
    }
    CURLcode code = curl_multi_info_read(multi, &left)->data.result;
    curl_multi_remove_handle(multi, easy);
    curl_multi_cleanup(multi);
    close(server);
    return code;
}

/* size: at most ORACLE_BYTES_MAX. */
static inline void http_read_libcurls(const char *bytes, size_t size, struct http_read *ret)
{
    char name[64];
    long status = 0;
    int listener = http_oracle_listener(name, sizeof name);
    CURL *easy = curl_easy_init();
    *ret = (struct http_read){0};
    if (easy == NULL || size > ORACLE_BYTES_MAX)
        abort();
    curl_easy_setopt(easy, CURLOPT_URL, "http://127.0.0.1/");
    curl_easy_setopt(easy, CURLOPT_ABSTRACT_UNIX_SOCKET, name);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, http_oracle_take);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, ret);
    CURLcode code = http_oracle_perform(easy, listener, bytes, size);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(easy);
    ret->good = code == CURLE_OK;
    ret->status = (int)status;
    ret->problem = curl_easy_strerror(code);
}

/* Where ours is stricter on purpose (http_response.h), or libcurl takes what is no whole response: one whose connection ends within its headers or its trailers. */
static inline bool http_read_is_stricter(const struct http_read *ours)
{
    return ours->reading == HTTP_NOT_HTTP || ours->part == HTTP_PART_STATUS || ours->part == HTTP_PART_HEADERS ||
           ours->part == HTTP_PART_TRAILERS;
}

/* ours: by pieces of one byte. NULL: they agree; else what they differ in. A length beside a coding that isn't chunked counts here; libcurl reads on to the
 * connection's end, which a server that means the length may never bring. */
static inline const char *http_reads_differ(const struct http_read *ours, const struct http_read *theirs)
{
    if (ours->is_by_length)
        return NULL;
    if (ours->good && !theirs->good) /* trailers, whose content means nothing here */
        return ours->in_trailers > sizeof "\r\n" - 1 ? NULL : "libcurl refuses what is taken here";
    if (!ours->good)
        return theirs->good && !http_read_is_stricter(ours) ? "libcurl takes what is refused here" : NULL;
    if (ours->status != theirs->status)
        return "the status";
    if (ours->body.size != theirs->body.size || memcmp(text_buffer_text(&ours->body), text_buffer_text(&theirs->body), ours->body.size) != 0)
        return "the body";
    return NULL;
}

#endif
