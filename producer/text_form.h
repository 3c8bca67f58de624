/* What a user's file is in, if it can't be lines of UTF-8: told by its first bytes, so that the message says more than where a byte is wrong. Pure. */
#ifndef CHAT_PRODUCER_TEXT_FORM_H
#define CHAT_PRODUCER_TEXT_FORM_H

#include <stddef.h>

/* "UTF-16, save it as UTF-8" and the like; NULL: may be UTF-8, or there are too few bytes to tell. bytes may be NULL with size 0. UTF-16 and UTF-32
 * are known with and without their byte order mark, as long as the first character is one of ASCII. */
const char *text_form_fault(const char *bytes, size_t size);

#endif
