/* Errors and statuses, shared by every folder.
 *
 * A function that can fail for a reason its caller acts on returns `enum status`; where the caller
 * needs to know more, it passes a `struct error` of its own. The class is set where the failure is
 * understood (only the LLM client knows what a 429 means) and acted on in one place
 * (task/outcome.c). Messages never hold message text, keys or passwords. */
#ifndef CHAT_BASE_ERROR_H
#define CHAT_BASE_ERROR_H

#include <stdarg.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt_at, args_at) __attribute__((format(printf, fmt_at, args_at)))

enum status {
    STATUS_OK = 0,
    STATUS_AGAIN,  /* full, empty or not yet: trying later may work */
    STATUS_CLOSED, /* the other side has ended */
    STATUS_FAILED  /* see the caller's struct error */
};

enum error_class {
    ERROR_NONE = 0,
    ERROR_RETRIABLE,   /* failed, may succeed next time: counts as an attempt */
    ERROR_UNAVAILABLE, /* could not be tried (no connection, 503, LOADING): doesn't count as an attempt */
    ERROR_PERMANENT,   /* will fail the same way every time: dead letter */
    ERROR_CANCELLED,   /* cancelled by us (drain, revoke): release the claim, count nothing */
    ERROR_FATAL        /* the process can't go on: log and exit */
};

struct error {
    enum error_class class;
    int kind;          /* for code that acts on more than the class: an enum of the module that set it, 0: none. `code` is for people */
    char code[40];     /* stable, machine-readable: "rate_limit_exceeded" */
    char message[256]; /* one line for people: what, where, what to do */
};

/* Fills *err (NULL: does nothing) and returns STATUS_FAILED, so that a caller can
 * `return error_set(...)`. A message too long is cut. */
enum status error_set(struct error *err, enum error_class class, const char *code, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* "retriable", "unavailable", "permanent", "cancelled", "fatal", "none". Never NULL. */
const char *error_class_name(enum error_class class);

#ifdef __clang_analyzer__ /* clang-tidy analyses one file at a time: this declares the return value */
#define error_set(...) ((void)error_set(__VA_ARGS__), STATUS_FAILED)
#endif

#endif
