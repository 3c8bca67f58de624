/* JSON given on the command line: goes out as it came, and is checked first as a job's members are. One thread. */
#ifndef CHAT_PRODUCER_JSON_ARGUMENT_H
#define CHAT_PRODUCER_JSON_ARGUMENT_H

#include <argp.h>

/* The text without a byte order mark before it, lent. argp_error (exit 64) says what is wrong with it, and at which byte. */
const char *json_argument(struct argp_state *state, const char *option, const char *text);

#endif
