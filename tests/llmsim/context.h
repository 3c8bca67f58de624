/* A context source, as a chat worker asks one before the question: GET /context/NAME?latency=MS&status=N&bytes=N&text=...
 * &json=1&session=...&user=... Any name; other keys are ignored. Pure: the same request gives the same answer. */
#ifndef LLMSIM_CONTEXT_H
#define LLMSIM_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "answer.h"
#include "base/error.h"

struct context_ask {
    char *name, *session, *user, *text; /* owned; all except name: NULL when missing */
    int64_t latency_ms;
    int64_t bytes; /* pad the body to so many; 0: don't */
    int status;
    bool json;
};

/* path: the part behind /context/, still encoded; query: "" or the part behind '?'. FAILED: a malformed number, or one out of
 * range (a test's typo must fail); *ret needn't be finished. */
enum status context_parse(const char *path, const char *query, struct context_ask *ret, struct error *err) MUST_CHECK;
void context_finish(struct context_ask *ask);

/* "context NAME session=... user=...", or the requested text, or both as JSON. */
void context_answer(struct script *ret, const struct context_ask *ask);

#endif
