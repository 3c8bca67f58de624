#include "base/error.h"

#include <stdio.h>
#include <string.h>

#undef error_set
enum status error_set(struct error *err, enum error_class class, const char *code, const char *fmt, ...)
{
    if (err == NULL)
        return STATUS_FAILED;
    /* Formatted into a copy first: an argument may be the message being replaced. */
    char message[sizeof err->message];
    char code_copy[sizeof err->code];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    snprintf(code_copy, sizeof code_copy, "%s", code);
    err->class = class;
    err->kind = 0;
    memcpy(err->code, code_copy, sizeof code_copy);
    memcpy(err->message, message, sizeof message);
    return STATUS_FAILED;
}

const char *error_class_name(enum error_class class)
{
    switch (class) {
    case ERROR_NONE: return "none";
    case ERROR_RETRIABLE: return "retriable";
    case ERROR_UNAVAILABLE: return "unavailable";
    case ERROR_PERMANENT: return "permanent";
    case ERROR_CANCELLED: return "cancelled";
    case ERROR_FATAL: return "fatal";
    }
    return "unknown";
}
