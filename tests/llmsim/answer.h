/* The bytes of an answer, proper or faulty, as a script that the server plays. Pure. */
#ifndef LLMSIM_ANSWER_H
#define LLMSIM_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fault.h"
#include "plan.h"

enum script_end {
    SCRIPT_KEEP,  /* the connection serves on (unless the client asked to close it) */
    SCRIPT_STALE, /* the same, but the next request's first bytes are met with a reset */
    SCRIPT_CLOSE, /* an orderly close */
    SCRIPT_RESET, /* a TCP reset */
    SCRIPT_HANG   /* nothing more, until the client goes away */
};

struct script_step {
    int64_t delay_ms; /* before the bytes */
    bool held;        /* before the bytes, too: until somebody lets it go */
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

/* A whole response with a JSON body; headers: "" or lines that end in CRLF. */
void answer_plain(struct script *ret, int status, const char *headers, const char *body);
/* A whole response of any type, after a while. */
void answer_typed(struct script *ret, int64_t delay_ms, int status, const char *type, const char *body, size_t size);
/* An error in a provider's shape. code NULL: the status's own. */
void answer_error(struct script *ret, int status, const char *shape, const char *code, const char *message);

/* The answer to a chat request. now_s: Unix time, only for Retry-After dates. */
void answer_chat(struct script *ret, const struct plan_options *options, const struct ask *ask,
                 const struct fault *fault, uint64_t number, int64_t now_s);

#endif
