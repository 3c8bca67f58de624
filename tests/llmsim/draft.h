/* One answer while it is being made: data shared by its parts. Made by answer.c for each chat request, and passed to the writers of the parts
 * (answer_whole.c, answer_stream.c, answer_error.c). Pure; the server's thread. */
#ifndef LLMSIM_DRAFT_H
#define LLMSIM_DRAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dialect.h"
#include "fault.h"
#include "plan.h"
#include "script.h"

#define DRAFT_CREATED INT64_C(1767225600) /* constant, so that answers are the same in each run */

struct draft {
    struct script *script;
    const struct plan_options *options;
    const struct ask *ask;
    const struct fault *fault;
    uint64_t number;
    char *model; /* as JSON, with its quotes */
    char *text;
    const char *finish_reason;
    int64_t latency_ms;
    int64_t completion_words;
    const struct dialect *dialect; /* NULL: the short form */
    size_t first_word_step;        /* of a stream: where its words begin */
};

/* The values for the dialect's forms. */
struct dialect_values draft_values(const struct draft *c);
/* Does the dialect have a form for it? Faults in the form itself are shown in the short form. */
bool draft_is_formed(const struct draft *c);
/* Both owned by the caller. A text as JSON, with its quotes: "" where it was cut inside a character. */
char *draft_quoted(const char *text);
char *draft_usage(const struct draft *c);

#endif
