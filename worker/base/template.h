/* Text with {NAME} in it, for what is filled in later: which names are meant is for the reader to say. A brace that isn't around
 * a name (a-z A-Z 0-9 . _ -) is text like any other. No allocation; pure, any thread. */
#ifndef CHAT_BASE_TEMPLATE_H
#define CHAT_BASE_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

struct template_part {
    const char *text; /* within the template; of a placeholder the name, without its braces */
    size_t size;
    bool is_name;
};

/* The next part, and *at goes behind it; start with the template's beginning. False: that was all. */
bool template_next(const char **at, struct template_part *ret);
bool template_part_is(const struct template_part *part, const char *name);
/* Can it stand between braces? */
bool template_is_name(const char *name);

#endif
