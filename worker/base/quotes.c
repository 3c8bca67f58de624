#include "base/quotes.h"

#include <string.h>

static const struct {
    const char *open, *close;
} quotes[] = {{"\"", "\""}, {"'", "'"}, {"\u201c", "\u201d"}, {"\u2018", "\u2019"}};

bool begins_quoted(const char *text)
{
    for (size_t i = 0; i < sizeof quotes / sizeof *quotes; i++)
        if (strncmp(text, quotes[i].open, strlen(quotes[i].open)) == 0)
            return true;
    return false;
}

bool is_quoted(const char *text)
{
    size_t size = strlen(text);
    for (size_t i = 0; i < sizeof quotes / sizeof *quotes; i++) {
        size_t open = strlen(quotes[i].open), close = strlen(quotes[i].close);
        if (size >= open + close && strncmp(text, quotes[i].open, open) == 0)
            return strstr(text + open, quotes[i].close) == text + size - close;
    }
    return false;
}
