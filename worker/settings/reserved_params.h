/* The members of a request that are the worker's own: what is asked, how it is read, and one answer a job. Neither a job's params nor a
 * provider's may hold one of them. */
#ifndef CHAT_SETTINGS_RESERVED_PARAMS_H
#define CHAT_SETTINGS_RESERVED_PARAMS_H

extern const char *const reserved_params[]; /* ends with NULL */

#endif
