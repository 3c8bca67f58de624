/* What /threads says: each job that has a lane (a thread, or a slot of an event loop), one a line: what it does, for whom it waits, and since when; then
 * the sums. Shown of a job: its id, partition and offset. Reads telemetry/steps.h, which knows it whether anything is recorded or not. Any thread; blocks never. */
#ifndef CHAT_SERVICE_THREADS_JSON_H
#define CHAT_SERVICE_THREADS_JSON_H

#include <stddef.h>
#include <stdint.h>

/* now_us: clock_mono_us. The text is the caller's. */
char *threads_json(int64_t now_us, size_t *ret_size);

#endif
