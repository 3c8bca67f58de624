#include "head.h"

#include <string.h>
#include <strings.h>

const char *head_value(const char *head, const char *name, size_t *ret_size)
{
    size_t name_size = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, name_size) == 0 && line[name_size] == ':') {
            line += name_size + 1;
            line += strspn(line, " \t");
            *ret_size = strcspn(line, "\r\n");
            return line;
        }
    }
    return NULL;
}

bool head_is(const char *head, const char *name, const char *value)
{
    size_t size;
    const char *got = head_value(head, name, &size);
    return got != NULL && size == strlen(value) && strncasecmp(got, value, size) == 0;
}
