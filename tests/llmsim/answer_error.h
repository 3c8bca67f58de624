/* Refusals: by a status, in a provider's shape, or from a dialect's file. Pure; the server's thread. */
#ifndef LLMSIM_ANSWER_ERROR_H
#define LLMSIM_ANSWER_ERROR_H

#include <stdbool.h>
#include <stdint.h>

#include "draft.h"

/* An error in a provider's shape. code NULL: the status's own. */
void answer_error(struct script *ret, int status, const char *shape, const char *code, const char *message);

/* A refusal in a dialect's form ("too-long", "no-such-path", …). False: the dialect has none of that name, and ret is empty. */
bool answer_refusal(struct script *ret, const struct dialect *dialect, const char *name, const struct dialect_values *values);

/* ---- of a draft ---- */

/* The status, code and headers of the draft's fault. now_s: Unix time, only for Retry-After dates. */
void answer_error_by_status(struct draft *c, int64_t now_s);
/* The dialect's refusal of that name: streamed if the dialect has a form for that, else a 200 would be taken for an answer. */
void answer_error_of_dialect(struct draft *c, const char *name);
/* The prompt is longer than the context. */
void answer_error_overflow(struct draft *c);
/* The error's body in a shape; owned. code and message are plain ASCII. */
char *answer_error_body(int status, const char *shape, const char *code, const char *message);

#endif
