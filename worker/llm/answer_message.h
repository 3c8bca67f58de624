/* Completes the assistant's message, whole or streamed, so that every reader of a reply, and every provider that gets it back, accepts it:
 * unchanged, except for members that a message must have. Pure; any thread. */
#ifndef CHAT_LLM_ANSWER_MESSAGE_H
#define CHAT_LLM_ANSWER_MESSAGE_H

#include <jansson.h>

/* Sets missing members of message (an object, referenced by the caller alone):
 *   role       "assistant", where it is not a text
 *   content    null if there are calls or a refusal instead, else ""; null stays null
 *   tool_calls a call without an array gets one; each call with a `function` is of the type "function" unless it names another, and its
 *              arguments are a text: "" if there are none, and the JSON of a tree (Ollama's own form, TGI's), as the client that executes the
 *              call and a provider that gets it back expect. A function_call's likewise */
void answer_message_settle(json_t *message);
/* The value of a missing content; owned by the caller. */
json_t *answer_message_no_content(const json_t *message);

#endif
