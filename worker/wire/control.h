/* A record on the control topic: a request about a job that is under way. Pure; any thread. For producers of such records: docs/jobs.md, "Cancelling".
 *
 *   {"cancel":"JOB"}   the job of this id is to end, wherever it is
 *
 * Other members are ignored, so that later versions may add some. */
#ifndef CHAT_WIRE_CONTROL_H
#define CHAT_WIRE_CONTROL_H

#include <stddef.h>

#include "base/error.h"

#define CONTROL_BYTES_MAX 4096 /* of a value; a larger record isn't a control record */

struct control {
    char *cancel; /* a job's id; owned */
};

/* FAILED: ERROR_PERMANENT, with what is wrong in *err; *ret needn't be freed then. */
enum status control_decode(const void *value, size_t size, struct control *ret, struct error *err) MUST_CHECK;
void control_finish(struct control *control);
/* *ret: JSON text, owned by the caller. FAILED: control_decode would refuse it, for the reason in *err. */
enum status control_encode_cancel(const char *job_id, char **ret, struct error *err) MUST_CHECK;

#endif
