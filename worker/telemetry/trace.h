/* Bars (telemetry/steps.h) as a trace that Perfetto and chrome://tracing read: the JSON array format of Chrome's trace events, which may end anywhere, so that
 * the trace of a process that was killed can be read, too.
 *
 *   what took a lane's time        with threads a slice ("X") of its thread's track; of an event loop's slots an async span ("b", "e") of the job
 *   in line, or at the job's end   an async span of the job: its id is partition:offset
 *   what isn't over at the end     as a slice or a span to the end, with "unfinished"
 *   bars that were lost            an instant event that says how many: those that a ring had lost; at the end those that had no room
 *
 * A thread of its own, chat-trace, takes the bars from the rings every TRACE_TAKE_MS and writes them to a stdio stream, from trace_start to trace_stop. It
 * blocks in write(2) as long as the file does: bars are lost meanwhile, not jobs. Of a job there are its id, partition and offset. */
#ifndef CHAT_TELEMETRY_TRACE_H
#define CHAT_TELEMETRY_TRACE_H

#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "telemetry/steps.h"

#define TRACE_TAKE_MS 50

struct trace;

struct trace_sums {
    uint64_t bars, lost; /* written; overwritten before they were taken, or beyond bytes_max */
    bool failed;         /* out couldn't be written */
};

/* Records from now on, for this reader. out is borrowed until trace_stop. bytes_max: no more bars are written then, and the rest is lost. */
enum status trace_start(FILE *out, enum steps_reader reader, uint64_t bytes_max, struct trace **ret, struct error *err) MUST_CHECK;
/* Writes what is left and the array's end. Blocks for that. NULL is fine. */
void trace_stop(struct trace *trace, struct trace_sums *ret);

#endif
