#include "llm/said_text.h"

#include <string.h>
#include <strings.h>

const char *const said_reasoning_names[SAID_REASONING_NAMES] = {"reasoning_content", "reasoning", "thinking", "thought", "thinking_content", "reasoning_text"};

static void append(struct text_buffer *to, const json_t *text)
{
    if (json_string_length(text) > 0)
        text_buffer_append(to, json_string_value(text), json_string_length(text));
}

/* The text of a part, also of nested parts. Recurses as deep as they are nested (JSON_DEPTH_MAX). */
static void append_text(struct text_buffer *to, const json_t *value)
{
    static const char *const names[] = {"text", "thinking", "reasoning", "summary", "content"};
    append(to, value);
    for (size_t i = 0; i < json_array_size(value); i++)
        append_text(to, json_array_get(value, i));
    for (size_t i = 0; json_is_object(value) && i < sizeof names / sizeof names[0]; i++) {
        const json_t *text = json_object_get(value, names[i]);
        if (text == NULL)
            continue;
        append_text(to, text);
        break; /* the others are the same text */
    }
}

static bool is_reasoning(const json_t *part)
{
    const char *type = json_string_value(json_object_get(part, "type"));
    return json_is_true(json_object_get(part, "thought")) ||
           (type != NULL && (strncasecmp(type, "thinking", 8) == 0 || strncasecmp(type, "reasoning", 9) == 0 || strcasecmp(type, "thought") == 0));
}

static bool is_text(const json_t *part)
{
    const char *type = json_string_value(json_object_get(part, "type"));
    return json_is_string(part) || (json_is_object(part) && (type == NULL || strcasecmp(type, "text") == 0 || strcasecmp(type, "output_text") == 0));
}

static void append_part(const json_t *part, struct text_buffer *text, struct text_buffer *reasoning)
{
    if (is_reasoning(part))
        append_text(reasoning, part);
    else if (is_text(part))
        append_text(text, part);
}

void said_text_of_content(const json_t *content, struct text_buffer *text, struct text_buffer *reasoning)
{
    if (json_is_object(content))
        append_part(content, text, reasoning);
    for (size_t i = 0; i < json_array_size(content); i++)
        append_part(json_array_get(content, i), text, reasoning);
}

void said_text_of_reasoning(const json_t *message, struct text_buffer *reasoning)
{
    size_t before = reasoning->size;
    for (size_t i = 0; i < SAID_REASONING_NAMES && reasoning->size == before; i++) {
        const json_t *value = json_object_get(message, said_reasoning_names[i]);
        if (!json_is_string(value))
            append_text(reasoning, value);
    }
    if (reasoning->size == before)
        append_text(reasoning, json_object_get(message, "reasoning_details"));
}

void said_text_of_message(const json_t *message, struct text_buffer *text, struct text_buffer *reasoning)
{
    const json_t *content = json_object_get(message, "content");
    append(text, content);
    for (size_t i = 0; i < SAID_REASONING_NAMES && reasoning->size == 0; i++)
        append(reasoning, json_object_get(message, said_reasoning_names[i]));
    if (reasoning->size == 0)
        said_text_of_reasoning(message, reasoning);
    said_text_of_content(content, text, reasoning);
}
