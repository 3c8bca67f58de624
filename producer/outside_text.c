#include "outside_text.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

/* How many bytes at `at` are a control character: C0, DEL, or C1 in UTF-8; 0: none begins there. */
static size_t control_size(const char *at, const char *end)
{
    unsigned char c = (unsigned char)at[0], next = at + 1 < end ? (unsigned char)at[1] : 0;
    return c < 0x20 || c == 0x7f ? 1 : c == 0xc2 && next >= 0x80 && next < 0xa0 ? 2 : 0;
}

char *outside_text_line(const char *text)
{
    const char *end = text + strlen(text);
    char *line = xstrdup(text), *to = line;
    while (text < end) {
        size_t control = control_size(text, end);
        *to++ = control > 0 ? '?' : *text;
        text += control > 0 ? control : 1;
    }
    *to = '\0';
    return line;
}

void outside_text_print(FILE *out, const char *text, size_t size)
{
    bool plain = !isatty(fileno(out));
    const char *end = text + size;
    while (text < end) {
        size_t control = plain || *text == '\n' || *text == '\t' ? 0 : control_size(text, end);
        putc(control > 0 ? '?' : *text, out);
        text += control > 0 ? control : 1;
    }
}
