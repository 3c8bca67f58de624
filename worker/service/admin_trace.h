/* POST /trace?seconds=N: a trace of the N seconds from now on, as an answer. One at a time, until it is sent. Admin thread; taking and writing bars is telemetry/trace.h's
 * thread, and the end of one blocks for what it has left, some milliseconds. In memory, TRACE_BYTES_MAX at most; what doesn't fit is counted as lost. */
#ifndef CHAT_SERVICE_ADMIN_TRACE_H
#define CHAT_SERVICE_ADMIN_TRACE_H

#include "base/error.h"
#include "service/admin_pages.h"

#define TRACE_SECONDS_DEFAULT 5
#define TRACE_SECONDS_MAX 60
#define TRACE_BYTES_MAX (32 * 1024 * 1024)

struct admin_trace;

enum status admin_trace_start(struct admin_trace **ret, struct error *err) MUST_CHECK;
/* The answer; frees the trace. */
struct admin_page admin_trace_end(struct admin_trace *trace);

#endif
