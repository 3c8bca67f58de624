/* The text and the reasoning of a message or a delta, as people read them, from any form. Other parts (tool calls, images,
 * refusals) are only in the reply. Pure; any thread. */
#ifndef CHAT_LLM_SAID_TEXT_H
#define CHAT_LLM_SAID_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "llm/text_buffer.h"

/* Members of a message that contain reasoning as a text; several in one message are the same text. */
#define SAID_REASONING_NAMES 6
extern const char *const said_reasoning_names[SAID_REASONING_NAMES];

/* Appends the texts of a `content` that is no text: parts, or one. Parts of thinking are reasoning. */
void said_text_of_content(const json_t *content, struct text_buffer *text, struct text_buffer *reasoning);
/* Appends the texts of structured reasoning: members of those names that are no text, `reasoning_details`. */
void said_text_of_reasoning(const json_t *message, struct text_buffer *reasoning);

/* Appends both of a whole message. */
void said_text_of_message(const json_t *message, struct text_buffer *text, struct text_buffer *reasoning);

#endif
