#include "base/template.h"

#include <string.h>

static const char name_letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

/* The size of the name behind the brace `open`; 0: none. */
static size_t name_behind(const char *open)
{
    size_t size = strspn(open + 1, name_letters);
    return open[1 + size] == '}' ? size : 0;
}

bool template_next(const char **at, struct template_part *ret)
{
    const char *begin = *at;
    if (*begin == '\0')
        return false;
    size_t name_size = *begin == '{' ? name_behind(begin) : 0;
    if (name_size > 0) {
        *ret = (struct template_part){.text = begin + 1, .size = name_size, .is_name = true};
        *at = begin + name_size + 2;
        return true;
    }
    const char *end = begin + 1;
    while (*end != '\0' && (*end != '{' || name_behind(end) == 0))
        end++;
    *ret = (struct template_part){.text = begin, .size = (size_t)(end - begin)};
    *at = end;
    return true;
}

bool template_part_is(const struct template_part *part, const char *name)
{
    return part->is_name && strlen(name) == part->size && memcmp(part->text, name, part->size) == 0;
}

bool template_is_name(const char *name)
{
    return *name != '\0' && name[strspn(name, name_letters)] == '\0';
}
