/* The bytes of an answer, correct or faulty, as a script that the server plays. Pure. */
#ifndef LLMSIM_ANSWER_H
#define LLMSIM_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fault.h"
#include "plan.h"
#include "script.h"

/* A whole response with a JSON body; headers: "" or lines that end in CRLF. */
void answer_plain(struct script *ret, int status, const char *headers, const char *body);
/* A whole response of any type, after delay_ms. */
void answer_typed(struct script *ret, int64_t delay_ms, int status, const char *type, const char *body, size_t size);
/* The answer to a chat request. now_s: Unix time, only for Retry-After dates. */
void answer_chat(struct script *ret, const struct plan_options *options, const struct ask *ask,
                 const struct fault *fault, uint64_t number, int64_t now_s);

#endif
