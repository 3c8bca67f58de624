/* Is the body of a good answer a stream of events, or one whole? Told by its first bytes, whatever was asked for and whatever its
 * content type says: servers stream though nobody asked, answer whole where a stream was asked for, and call either the other.
 * Pure; any thread. */
#ifndef CHAT_LLM_ANSWER_SHAPE_H
#define CHAT_LLM_ANSWER_SHAPE_H

#include <stdbool.h>
#include <stddef.h>

#include "http/http_call.h"

/* An http_look. typed: the content type says that it is a stream, which counts where the bytes say nothing. JSON is whole, also
 * where more of it follows: llm_response_decode reads on. A comment or a field that event streams have is one. */
enum http_shape answer_shape_look(bool typed, const char *bytes, size_t size);

#endif
