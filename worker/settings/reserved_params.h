/* The members of a request that only the worker sets: the question, the form of the answer, and their number. Neither a job's params nor a
 * provider's may contain one of them. */
#ifndef CHAT_SETTINGS_RESERVED_PARAMS_H
#define CHAT_SETTINGS_RESERVED_PARAMS_H

extern const char *const reserved_params[]; /* ends with NULL */

#endif
