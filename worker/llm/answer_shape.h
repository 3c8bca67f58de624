/* Is the body of a 2xx answer an event stream, or a whole answer? Detected by its first bytes, whatever was requested and whatever its
 * content type is: servers stream without being asked, answer whole when a stream was requested, and label either as the other.
 * Pure; any thread. */
#ifndef CHAT_LLM_ANSWER_SHAPE_H
#define CHAT_LLM_ANSWER_SHAPE_H

#include <stdbool.h>
#include <stddef.h>

#include "http/http_call.h"

/* An http_look. typed: the content type is an event stream's, which decides where the bytes don't. JSON is a whole answer, even
 * if more JSON follows: llm_response_decode reads on. A comment or a field of event streams makes it a stream. */
enum http_shape answer_shape_look(bool typed, const char *bytes, size_t size);

#endif
