/* A whole number as text, for texts written several times a job: printf costs ten times as much. Pure; any thread. */
#ifndef CHAT_BASE_DECIMAL_H
#define CHAT_BASE_DECIMAL_H

#include <stddef.h>
#include <stdint.h>

#define DECIMAL_SIZE 21 /* of the longest, with its sign and a NUL */

/* Returns its length, without the NUL. */
size_t decimal_write(int64_t number, char out[DECIMAL_SIZE]);
/* Six digits, zeros in front; no NUL. number: below a million. */
void decimal_write_six(uint32_t number, char out[6]);

#endif
