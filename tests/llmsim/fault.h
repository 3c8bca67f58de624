/* Faults: which fault to inject, and when. Pure: no clock, no sockets.
 *
 * A fault is one line of text, "KIND key=value ...": in a prompt as [[fault:KIND key=value ...]], or as a
 * rule of --faults, --fault-rate or POST /sim/faults. README.md beside this file lists the kinds. */
#ifndef LLMSIM_FAULT_H
#define LLMSIM_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum fault_kind {
    FAULT_NONE,
    FAULT_HOLD,   /* the correct answer, once the test releases it */
    FAULT_STATUS, /* any 4xx or 5xx; struct fault.status says which */
    FAULT_REFUSAL,  /* one of a dialect's, by struct fault.name */
    FAULT_OVERFLOW,
    FAULT_ERROR_200,
    FAULT_STREAM_ERROR,
    FAULT_NO_DONE,
    FAULT_EMPTY_CHOICES,
    FAULT_NO_MESSAGE,
    FAULT_NULL_CONTENT,
    FAULT_NO_USAGE,
    FAULT_LENGTH,
    FAULT_FILTER,
    FAULT_TOOL_CALLS,
    FAULT_COMMENTS,
    FAULT_CHATTER,
    FAULT_CRLF,
    FAULT_SPLIT_UTF8,
    FAULT_BAD_UTF8,
    FAULT_STALE,
    FAULT_RESET,
    FAULT_CLOSE,
    FAULT_STALL,
    FAULT_DRIP,
    FAULT_TRUNCATED,
    FAULT_NOT_JSON,
    FAULT_EMPTY_BODY,
    FAULT_HUGE
};

struct fault {
    enum fault_kind kind;
    char name[24]; /* as in the counters: "429", "billing", "stall" */

    /* The response. Header values are text, so that nonsense can be sent too; "" sends no header. */
    int status;
    char shape[12];           /* of the error body: openai, llamacpp, vllm, tgi, detail, html, empty; "": the kind's own */
    char code[48];            /* error.code; "": the kind's own */
    char retry_after[48];     /* Retry-After */
    char retry_after_ms[48];  /* retry-after-ms */
    bool retry_after_dated;   /* Retry-After as an HTTP date, in retry_after_in_s from now (may be past) */
    int64_t retry_after_in_s;
    char should_retry[8];     /* x-should-retry */
    int64_t latency_ms;       /* before the first byte; -1: the kind's own (0 for errors) */
    int64_t ms;               /* pause between bytes or comments; -1: the kind's own */
    int64_t n;                /* deltas sent before the fault; -1: the kind's own */
    int64_t bytes;            /* size of a huge body */

    /* When. */
    int64_t times; /* how often; 0: always */
    int64_t after; /* rules only: not for the first so many requests */
    int64_t above; /* rules only: while more than so many requests are in flight, this one included; 0: always */
    double rate;   /* rules only: share of the requests, 0 to 1 */
    char match[96]; /* rules only: the last user message contains this; "": any */
};

/* Reads one "KIND key=value ..." of size bytes. FAILED: *err names the unknown word. */
enum status fault_parse(const char *text, size_t size, struct fault *ret, struct error *err) MUST_CHECK;

struct fault_rules; /* an ordered list; the first rule that applies counts */

/* Rules are separated by newlines or ';'; '#' starts a comment that runs to the end of its line. */
enum status fault_rules_parse(const char *text, struct fault_rules **ret, struct error *err) MUST_CHECK;
/* Adds --fault-rate's 'kind=p': the last '=' separates. */
enum status fault_rules_add_rate(struct fault_rules *rules, const char *spec, struct error *err) MUST_CHECK;
struct fault_rules *fault_rules_create(void);
void fault_rules_destroy(struct fault_rules *rules); /* NULL is fine */

/* How many requests are in flight now, for rules with `above`. NULL: there are none. */
void fault_rules_in_flight(struct fault_rules *rules, int64_t in_flight);

/* The fault for a request: markers in the message first, then the rules (NULL: none).
 * seen: requests with exactly this message before this one. With several markers each is used up in its
 * turn: "[[fault:503 times=2]] [[fault:billing times=1]] hi" succeeds at the fourth asking.
 * number: the request's, from 1. ret->kind FAULT_NONE: answer properly.
 * FAILED: a marker that can't be read (a test's typo must be loud). */
enum status fault_pick(struct fault_rules *rules, const char *message, int64_t seen, uint64_t number, uint64_t seed,
                       struct fault *ret, struct error *err) MUST_CHECK;

/* Uniform in [0, 1), the same for the same three numbers. */
double fault_random(uint64_t seed, uint64_t number, uint64_t purpose);

#endif
