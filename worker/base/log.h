/* The log: one event a line on stderr, logfmt or JSON, with a stable event name.
 *
 *   log_info("reply_published", F_STR("job", id), F_INT("partition", p), F_INT("offset", o));
 *   -> ts=2026-11-23T10:00:00.123Z level=info event=reply_published job=01JD partition=3 offset=17
 *
 * Any thread; one write(2) a line, so lines never mix. Values are escaped; values over 512 bytes are
 * cut. Secrets stay out by a rule: message text, prompts, API keys and passwords are never
 * passed to it. */
#ifndef CHAT_BASE_LOG_H
#define CHAT_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

struct log_field {
    const char *name; /* NULL ends the list */
    enum { LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_REAL } type;
    const char *str; /* NULL is written as an empty value */
    int64_t num;
    double real;
};

#define F_STR(field_name, value) ((struct log_field){.name = (field_name), .type = LOG_FIELD_STR, .str = (value)})
#define F_INT(field_name, value) ((struct log_field){.name = (field_name), .type = LOG_FIELD_INT, .num = (int64_t)(value)})
#define F_REAL(field_name, value) ((struct log_field){.name = (field_name), .type = LOG_FIELD_REAL, .real = (value)})

/* Before the threads start; until then info and logfmt. */
void log_configure(enum log_level level, enum log_format format);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *event, const struct log_field *fields);

#define log_at(level, event, ...)                                                                              \
    do {                                                                                                       \
        if (log_enabled(level))                                                                                \
            log_write((level), (event), (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ) {.name = 0}});   \
    } while (0)

#define log_debug(event, ...) log_at(LOG_DEBUG, event __VA_OPT__(, ) __VA_ARGS__)
#define log_info(event, ...) log_at(LOG_INFO, event __VA_OPT__(, ) __VA_ARGS__)
#define log_warn(event, ...) log_at(LOG_WARN, event __VA_OPT__(, ) __VA_ARGS__)
#define log_error(event, ...) log_at(LOG_ERROR, event __VA_OPT__(, ) __VA_ARGS__)

#endif
