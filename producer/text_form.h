/* The encoding of a user's file that isn't lines of UTF-8, detected by its first bytes, so that the message contains more than the place of a wrong byte. Pure. */
#ifndef CHAT_PRODUCER_TEXT_FORM_H
#define CHAT_PRODUCER_TEXT_FORM_H

#include <stddef.h>

/* "UTF-16, save it as UTF-8" and the like; NULL: may be UTF-8, or too few bytes. bytes may be NULL with size 0. UTF-16 and UTF-32
 * are detected with and without their byte order mark, if the first character is ASCII. */
const char *text_form_fault(const char *bytes, size_t size);

#endif
