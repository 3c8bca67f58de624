/* Text with placeholders {NAME}: the caller decides which names are valid. A brace that isn't around
 * a name (a-z A-Z 0-9 . _ -) is plain text. No allocation; pure, any thread. */
#ifndef CHAT_BASE_TEMPLATE_H
#define CHAT_BASE_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

struct template_part {
    const char *text; /* within the template; of a placeholder the name, without its braces */
    size_t size;
    bool is_name;
};

/* The next part; *at is moved behind it; start with the template's beginning. False: no more. */
bool template_next(const char **at, struct template_part *ret);
bool template_part_is(const struct template_part *part, const char *name);
/* Is it a valid name? */
bool template_is_name(const char *name);

#endif
