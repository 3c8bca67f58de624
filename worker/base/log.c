#include "base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include "base/decimal.h"

#define LINE_BYTES_MAX 4000 /* below PIPE_BUF, so that a line into a pipe stays whole */
#define VALUE_BYTES_MAX 512

/* The signals' thread may log before they are configured. */
static _Atomic(enum log_level) threshold = LOG_INFO;
static _Atomic(enum log_format) line_format = LOG_LOGFMT;

static bool is_json(void)
{
    return atomic_load_explicit(&line_format, memory_order_relaxed) == LOG_JSON;
}

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
    size_t size = strlen(text), room = LINE_BYTES_MAX - line->length;
    size = size < room ? size : room;
    memcpy(line->text + line->length, text, size);
    line->length += size;
}

static void put_number(struct line *line, int64_t number)
{
    char text[DECIMAL_SIZE];
    decimal_write(number, text);
    put_text(line, text);
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
    if (!is_json() && is_bare(value)) {
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
        put_char(line, is_json() ? ',' : ' ');
    if (is_json()) {
        put_char(line, '"');
        put_text(line, name);
        put_text(line, "\":");
    } else {
        put_text(line, name);
        put_char(line, '=');
    }
}

/* A second's text, made once for all lines of a thread within it. */
static const char *second_text(time_t second)
{
    static thread_local time_t known = -1;
    static thread_local char text[sizeof "2026-11-23T10:00:00"];
    struct tm utc;
    if (second != known) {
        gmtime_r(&second, &utc);
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
        known = second;
    }
    return text;
}

static void put_time(struct line *line)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int ms = (int)(now.tv_nsec / 1000000);
    char fraction[] = {'.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10), 'Z', '\0'};
    put_name(line, "ts");
    put_text(line, is_json() ? "\"" : "");
    put_text(line, second_text(now.tv_sec));
    put_text(line, fraction);
    put_text(line, is_json() ? "\"" : "");
}

void log_configure(enum log_level level, enum log_format format)
{
    atomic_store_explicit(&threshold, level, memory_order_relaxed);
    atomic_store_explicit(&line_format, format, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return level >= atomic_load_explicit(&threshold, memory_order_relaxed);
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
    struct line line; /* its text isn't zeroed: that would cost more than the rest */
    char real[32];
    line.length = 0;
    if (is_json())
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
            put_number(&line, fields->num);
            break;
        case LOG_FIELD_REAL:
            snprintf(real, sizeof real, "%.3f", fields->real);
            put_text(&line, real);
            break;
        }
    }
    if (is_json())
        line.text[line.length++] = '}';
    line.text[line.length++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line.text, line.length);
    (void)ignored; /* an error of the log can't be logged */
}
