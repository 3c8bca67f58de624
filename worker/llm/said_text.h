/* What people read of a message or a delta: its text and its reasoning, in whatever form it holds them. The rest (tool calls, images,
 * refusals) goes with the reply alone. Pure; any thread. */
#ifndef CHAT_LLM_SAID_TEXT_H
#define CHAT_LLM_SAID_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "llm/text_buffer.h"

/* Members of a message that hold reasoning as a text; where one brings several, they are the same text. */
#define SAID_REASONING_NAMES 6
extern const char *const said_reasoning_names[SAID_REASONING_NAMES];

/* Appends what a `content` that is no text says: parts, or one. Parts of thinking are reasoning. */
void said_text_of_content(const json_t *content, struct text_buffer *text, struct text_buffer *reasoning);
/* Appends what reasoning of a form of its own says: members of those names that are no text, `reasoning_details`. */
void said_text_of_reasoning(const json_t *message, struct text_buffer *reasoning);

/* Both of a whole message. */
void said_text_of_message(const json_t *message, struct text_buffer *text, struct text_buffer *reasoning);

#endif
