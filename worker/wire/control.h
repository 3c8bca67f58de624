/* A record on the control topic: what is to be done with a job that is under way. Pure; any thread. For who writes one: docs/jobs.md, "Cancelling".
 *
 *   {"cancel":"JOB"}   the job of this id is to end, wherever it is
 *
 * Other members are ignored, so that later versions may add some. */
#ifndef CHAT_WIRE_CONTROL_H
#define CHAT_WIRE_CONTROL_H

#include <jansson.h>
#include <stddef.h>

#include "base/error.h"

#define CONTROL_BYTES_MAX 4096 /* of a value; more is no control record */

struct control {
    json_t *root;       /* owned: json_decref */
    const char *cancel; /* a job's id; borrowed from root */
};

/* FAILED: ERROR_PERMANENT, and *err says what is wrong with it; nothing is owned then. */
enum status control_decode(const void *value, size_t size, struct control *ret, struct error *err) MUST_CHECK;
/* JSON text, the caller's; NULL: the id isn't UTF-8, is empty, or too long. */
char *control_encode_cancel(const char *job_id) MUST_CHECK;

#endif
