/* The server's output on a connection: bytes, with pauses between them, and how it ends. Pure. */
#ifndef LLMSIM_SCRIPT_H
#define LLMSIM_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum script_end {
    SCRIPT_KEEP,  /* the connection is kept alive (unless the client asked to close it) */
    SCRIPT_STALE, /* kept alive, but the next request's first bytes are answered with a reset */
    SCRIPT_CLOSE, /* an orderly close */
    SCRIPT_RESET, /* a TCP reset */
    SCRIPT_HANG   /* nothing more, until the client closes */
};

struct script_step {
    int64_t delay_ms; /* before the bytes */
    bool held;        /* wait before the bytes, too, until released */
    int64_t repeat;   /* times more; -1: for ever */
    char *bytes;      /* owned; NULL if size is 0 */
    size_t size;
};

struct script {
    struct script_step *steps; /* owned */
    size_t count, allocated;
    int64_t drip_ms; /* >= 0: one byte at a time with this pause; -1: whole steps */
    enum script_end end;
    bool broken; /* ends before the answer is whole */
};

void script_finish(struct script *script);

/* Takes bytes (malloc'd, or NULL). */
void script_add_owned(struct script *s, int64_t delay_ms, char *bytes, size_t size);
void script_add(struct script *s, int64_t delay_ms, const char *bytes, size_t size);

/* A response's head, with a Content-Length; headers: "" or lines that end in CRLF. Owned by the caller. */
char *script_head(int status, const char *type, const char *headers, size_t length);
/* A whole response; body may contain any byte. */
void script_response(struct script *s, int64_t delay_ms, int status, const char *type, const char *headers, const char *body, size_t size);
/* The head of a response in chunks. */
void script_stream_head(struct script *s, int64_t delay_ms);

/* The first `cut` bytes of the last step, then nothing: a close or silence. */
void script_cut_last(struct script *s, size_t cut);
/* Ends each piece of the last step after the first byte of a character of several bytes. */
void script_split_last(struct script *s);

/* The reason phrase of a status. */
const char *script_reason(int status);

#define SCRIPT_SPLIT_PAUSE_MS 3

#endif
