#include "llm/answer_message.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/cleanup.h"

static void settle_arguments(json_t *function)
{
    json_t *arguments = json_object_get(function, "arguments");
    if (json_is_string(arguments))
        return;
    AUTO_FREE char *text = arguments == NULL || json_is_null(arguments) ? NULL : json_dumps(arguments, JSON_COMPACT | JSON_ENCODE_ANY);
    json_object_set_new(function, "arguments", json_string(text != NULL ? text : ""));
}

/* A text that isn't empty. */
static void set_word(json_t *object, const char *name, const char *word)
{
    if (json_string_length(json_object_get(object, name)) == 0)
        json_object_set_new(object, name, json_string(word));
}

static void settle_call(json_t *call)
{
    json_t *function = json_object_get(call, "function");
    if (!json_is_object(function))
        return;
    set_word(call, "type", "function");
    settle_arguments(function);
}

static void settle_calls(json_t *message)
{
    json_t *calls = json_object_get(message, "tool_calls");
    if (json_is_object(json_object_get(calls, "function"))) {
        json_t *array = json_array();
        json_array_append(array, calls);
        json_object_set_new(message, "tool_calls", array);
        calls = array;
    }
    for (size_t i = 0; i < json_array_size(calls); i++)
        settle_call(json_array_get(calls, i));
}

static bool is_replaced(const json_t *message)
{
    return json_array_size(json_object_get(message, "tool_calls")) > 0 || json_is_object(json_object_get(message, "function_call")) ||
           json_string_length(json_object_get(message, "refusal")) > 0;
}

json_t *answer_message_no_content(const json_t *message)
{
    return is_replaced(message) ? json_null() : json_string("");
}

void answer_message_settle(json_t *message)
{
    json_t *function_call = json_object_get(message, "function_call");
    set_word(message, "role", "assistant");
    settle_calls(message);
    if (json_is_object(function_call))
        settle_arguments(function_call);
    if (json_object_get(message, "content") == NULL)
        json_object_set_new(message, "content", answer_message_no_content(message));
}
