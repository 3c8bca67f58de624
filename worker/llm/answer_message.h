/* The assistant's message, as every reader of a reply and every provider that gets it back can take it, whole or streamed: it stays as
 * it came, but for what a message must have. Pure; any thread. */
#ifndef CHAT_LLM_ANSWER_MESSAGE_H
#define CHAT_LLM_ANSWER_MESSAGE_H

#include <jansson.h>

/* Sets in message (an object, the caller's alone) what is missing:
 *   role       "assistant", where it is no text
 *   content    null where calls or a refusal stand in its place, else ""; null stays null
 *   tool_calls one call that stands there without an array gets one; each call with a `function` is of the type "function" unless it names another, and has
 *              arguments, a text: "" where none were said, and where they are a tree (Ollama's own form, TGI's), its JSON, as who answers the
 *              call and a provider that gets it back expect it. A function_call's likewise */
void answer_message_settle(json_t *message);
/* What content is where none was said; the caller's. */
json_t *answer_message_no_content(const json_t *message);

#endif
