/* What is wrong with a text that json_check refused, in words. Pure; any thread. */
#ifndef CHAT_WIRE_JSON_FAULT_H
#define CHAT_WIRE_JSON_FAULT_H

#include "base/error.h"
#include "wire/json_check.h"

/* Sets a permanent error of code duplicate_member, invalid_utf8, integer_out_of_range, nested_too_deep or invalid_json, and returns STATUS_FAILED. Its
 * message begins with where ("metadata", "the value"), contains the byte's offset, and quotes nothing but the name of a member that occurs
 * twice. err may be NULL. */
enum status json_fault_set(struct error *err, const char *where, const char *text, size_t size, const struct json_fault *fault);

#endif
