/* JSON from the command line: sent unchanged, after the same checks as for a job's members. One thread. */
#ifndef CHAT_PRODUCER_JSON_ARGUMENT_H
#define CHAT_PRODUCER_JSON_ARGUMENT_H

#include <argp.h>

/* The text without a byte order mark, borrowed. Malformed: argp_error (exit 64) with what is wrong, and at which byte. */
const char *json_argument(struct argp_state *state, const char *option, const char *text);

#endif
