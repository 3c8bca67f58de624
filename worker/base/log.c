#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES_MAX 4000 /* below PIPE_BUF, so that a line into a pipe stays whole */
#define VALUE_BYTES_MAX 512

static enum log_level threshold = LOG_INFO;
static enum log_format line_format = LOG_LOGFMT;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

struct line {
    char text[LINE_BYTES_MAX + 2];
    size_t length;
};

static void put_char(struct line *line, char c)
{
    if (line->length < LINE_BYTES_MAX)
        line->text[line->length++] = c;
}

static void put_text(struct line *line, const char *text)
{
    while (*text != '\0')
        put_char(line, *text++);
}

static void put_escaped(struct line *line, const char *value)
{
    size_t taken = 0;
    for (const unsigned char *p = (const unsigned char *)value; *p != '\0' && taken < VALUE_BYTES_MAX; p++, taken++) {
        if (*p == '"' || *p == '\\') {
            put_char(line, '\\');
            put_char(line, (char)*p);
        } else if (*p == '\n') {
            put_text(line, "\\n");
        } else if (*p < 0x20 || *p == 0x7f) {
            char hex[8];
            snprintf(hex, sizeof hex, "\\u%04x", *p);
            put_text(line, hex);
        } else {
            put_char(line, (char)*p);
        }
    }
}

/* logfmt writes plain words unquoted; everything else is quoted. */
static bool is_bare(const char *value)
{
    if (*value == '\0' || strlen(value) > VALUE_BYTES_MAX)
        return false;
    for (const unsigned char *p = (const unsigned char *)value; *p != '\0'; p++)
        if (*p <= ' ' || *p == '"' || *p == '=' || *p == '\\' || *p >= 0x7f)
            return false;
    return true;
}

static void put_string(struct line *line, const char *value)
{
    if (line_format == LOG_LOGFMT && is_bare(value)) {
        put_text(line, value);
        return;
    }
    put_char(line, '"');
    put_escaped(line, value);
    put_char(line, '"');
}

static void put_name(struct line *line, const char *name)
{
    if (line->length > 1)
        put_char(line, line_format == LOG_JSON ? ',' : ' ');
    if (line_format == LOG_JSON) {
        put_char(line, '"');
        put_text(line, name);
        put_text(line, "\":");
    } else {
        put_text(line, name);
        put_char(line, '=');
    }
}

static void put_time(struct line *line)
{
    struct timespec now;
    struct tm utc;
    char stamp[40];
    char whole[64];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(whole, sizeof whole, "%s.%03ldZ", stamp, now.tv_nsec / 1000000);
    put_name(line, "ts");
    put_string(line, whole);
}

void log_configure(enum log_level level, enum log_format format)
{
    threshold = level;
    line_format = format;
}

bool log_enabled(enum log_level level)
{
    return level >= threshold;
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
    struct line line = {.length = 0};
    char number[32];
    if (line_format == LOG_JSON)
        put_char(&line, '{');
    put_time(&line);
    put_name(&line, "level");
    put_string(&line, level_names[level]);
    put_name(&line, "event");
    put_string(&line, event);
    for (; fields->name != NULL; fields++) {
        put_name(&line, fields->name);
        switch (fields->type) {
        case LOG_FIELD_STR:
            put_string(&line, fields->str ? fields->str : "");
            break;
        case LOG_FIELD_INT:
            snprintf(number, sizeof number, "%lld", (long long)fields->num);
            put_text(&line, number);
            break;
        case LOG_FIELD_REAL:
            snprintf(number, sizeof number, "%.3f", fields->real);
            put_text(&line, number);
            break;
        }
    }
    if (line_format == LOG_JSON)
        line.text[line.length++] = '}';
    line.text[line.length++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line.text, line.length);
    (void)ignored; /* an error of the log can't be logged */
}
