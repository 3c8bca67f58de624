/* The head of a request, as text: its headers. Pure. */
#ifndef LLMSIM_HEAD_H
#define LLMSIM_HEAD_H

#include <stdbool.h>
#include <stddef.h>

/* The value of a header, up to its line's end; *ret_size is its length. NULL: absent. */
const char *head_value(const char *head, const char *name, size_t *ret_size);
/* In whatever case. */
bool head_is(const char *head, const char *name, const char *value);

#endif
