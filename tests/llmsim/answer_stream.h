/* Answers as a stream of server-sent events, each an HTTP chunk, complete or cut off. Pure; the server's thread. */
#ifndef LLMSIM_ANSWER_STREAM_H
#define LLMSIM_ANSWER_STREAM_H

#include <stdint.h>

#include "draft.h"

void answer_stream(struct draft *c);

/* ---- its parts, for other streams ---- */

/* One event, or one comment. */
void answer_stream_line(struct draft *c, int64_t delay_ms, const char *prefix, const char *text);
/* A section's events; NULL: none. */
void answer_stream_events(struct draft *c, const struct dialect_section *section);
void answer_stream_end(struct draft *c);

#endif
