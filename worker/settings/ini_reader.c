#include "settings/ini_reader.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/byte_order_mark.h"

void ini_reader_init(struct ini_reader *reader, char *text, size_t size)
{
    *reader = (struct ini_reader){.at = text + byte_order_mark_size(text, size), .end = text + size, .section = ""};
}

static bool is_space(char c)
{
    return isspace((unsigned char)c) != 0;
}

static char *skip_space(char *at)
{
    while (is_space(*at))
        at++;
    return at;
}

/* The text from begin to end, without surrounding white space. */
static char *trimmed(char *begin, char *end)
{
    begin = skip_space(begin);
    while (end > begin && is_space(end[-1]))
        end--;
    *end = '\0';
    return begin;
}

/* The first of `wanted`, or the comment or end before it. */
static char *find(char *text, const char *wanted)
{
    char *at = text;
    while (*at != '\0' && strchr(wanted, *at) == NULL && !(*at == ';' && at > text && is_space(at[-1])))
        at++;
    return at;
}

static bool is_comment(const char *at)
{
    return *at == ';' || *at == '#';
}

static enum ini_got fail(struct ini_reader *reader, const char *why)
{
    reader->fault = why;
    return INI_FAULT;
}

/* INI_END: of the line. */
static enum ini_got take_section(struct ini_reader *reader, char *name)
{
    char *end = find(name, "]");
    if (*end != ']')
        return fail(reader, "neither [section] nor key = value");
    char *behind = skip_space(end + 1);
    if (*behind != '\0' && !is_comment(behind))
        return fail(reader, "something stands after the section's ]; begin a new line");
    *end = '\0';
    reader->section = name;
    return INI_END;
}

static enum ini_got take_line(struct ini_reader *reader, char *line)
{
    line = skip_space(line);
    if (*line == '\0' || is_comment(line))
        return INI_END;
    if (*line == '[')
        return take_section(reader, line + 1);
    if (strchr("{}\"", *line) != NULL)
        return fail(reader, "no key begins with { } or \"; a value doesn't go on in the next line, write it in one");
    char *sign = find(line, "=:");
    if (*sign != '=' && *sign != ':')
        return fail(reader, "neither [section] nor key = value");
    char *value = sign + 1;
    reader->value = trimmed(value, find(value, ""));
    reader->key = trimmed(line, sign);
    return INI_PAIR;
}

enum ini_got ini_next(struct ini_reader *reader)
{
    while (reader->at < reader->end) {
        char *line = reader->at, *end = memchr(line, '\n', (size_t)(reader->end - line));
        if (end == NULL)
            end = reader->end;
        reader->at = end < reader->end ? end + 1 : end;
        reader->line++;
        if (memchr(line, '\0', (size_t)(end - line)) != NULL)
            return fail(reader, "the line holds a NUL byte; the file must be text");
        *end = '\0';
        enum ini_got got = take_line(reader, line);
        if (got != INI_END)
            return got;
    }
    return INI_END;
}
