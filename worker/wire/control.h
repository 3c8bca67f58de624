/* A record on the control topic: what is to be done with a job that is under way. Pure; any thread. For who writes one: docs/jobs.md, "Cancelling".
 *
 *   {"cancel":"JOB"}   the job of this id is to end, wherever it is
 *
 * Other members are ignored, so that later versions may add some. */
#ifndef CHAT_WIRE_CONTROL_H
#define CHAT_WIRE_CONTROL_H

#include <stddef.h>

#include "base/error.h"

#define CONTROL_BYTES_MAX 4096 /* of a value; more is no control record */

struct control {
    char *cancel; /* a job's id; owned */
};

/* FAILED: ERROR_PERMANENT, and *err says what is wrong with it; nothing is owned then. */
enum status control_decode(const void *value, size_t size, struct control *ret, struct error *err) MUST_CHECK;
void control_finish(struct control *control);
/* *ret: JSON text, the caller's. FAILED: control_decode would refuse it, and *err says why. */
enum status control_encode_cancel(const char *job_id, char **ret, struct error *err) MUST_CHECK;

#endif
