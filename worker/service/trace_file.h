/* --trace FILE: a trace (telemetry/trace.h) of the whole process, from before its first job to after its last. Main thread. */
#ifndef CHAT_SERVICE_TRACE_FILE_H
#define CHAT_SERVICE_TRACE_FILE_H

#include "base/error.h"

struct trace_file;

/* After steps_start. file NULL: *ret is NULL. Writes the file anew. FAILED, permanent: it can't be written. */
enum status trace_file_open(const char *file, struct trace_file **ret, struct error *err) MUST_CHECK;
/* Logs what it has, and what was lost. NULL is fine. A trace that isn't closed, since the process ends in another way, lacks its last moment and can be read. */
void trace_file_close(struct trace_file *trace);

#endif
