#include "text_form.h"

#include <stdbool.h>
#include <string.h>

static bool begins(const char *bytes, size_t size, const char *with, size_t with_size)
{
    return size >= with_size && memcmp(bytes, with, with_size) == 0;
}

const char *text_form_fault(const char *bytes, size_t size)
{
    if (size < 2)
        return NULL;
    bool has_mark = begins(bytes, size, "\xff\xfe", 2) || begins(bytes, size, "\xfe\xff", 2);
    if (begins(bytes, size, "\0\0\xfe\xff", 4) || begins(bytes, size, "\xff\xfe\0\0", 4))
        return "UTF-32; save it as UTF-8";
    if (has_mark || (bytes[0] == '\0') != (bytes[1] == '\0'))
        return "UTF-16; save it as UTF-8";
    if (begins(bytes, size, "\x1f\x8b", 2))
        return "compressed with gzip; unpack it (gzip -dc)";
    return NULL;
}
