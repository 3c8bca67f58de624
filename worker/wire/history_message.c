#include "wire/history_message.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "wire/json_member.h"

bool history_message_has_role(struct json_view message, const char *role)
{
    return json_view_is(json_view_member(message, "role"), role);
}

bool history_message_is_system(struct json_view message)
{
    return history_message_has_role(message, "system") || history_message_has_role(message, "developer");
}

static bool is_blank(struct json_view string)
{
    size_t size;
    AUTO_FREE char *text = json_view_decode(string, &size);
    return strspn(text, " \t\r\n") == size;
}

/* A string with more than white space, or something within that has one; what a part's `type` says doesn't count. Recurses as
 * deep as the value is nested (JSON_DEPTH_MAX). */
static bool says_something(struct json_view value)
{
    int type = json_view_type(value);
    if (type == JSON_STRING)
        return !is_blank(value);
    struct json_view element = {0};
    while (type == JSON_ARRAY && json_view_next(value, &element))
        if (says_something(element))
            return true;
    struct json_member member = {.at = value.text, .end = value.text + value.size};
    while (type == JSON_OBJECT && json_member_next(&member))
        if (!json_member_is(&member, "type") && says_something((struct json_view){member.value, member.value_size}))
            return true;
    return false;
}

static bool history_message_has_calls(struct json_view message)
{
    return json_view_is_filled_array(json_view_member(message, "tool_calls")) || json_view_type(json_view_member(message, "function_call")) == JSON_OBJECT;
}

bool history_message_is_empty(struct json_view message)
{
    return history_message_has_role(message, "assistant") && !history_message_has_calls(message) && !says_something(json_view_member(message, "content")) &&
           !says_something(json_view_member(message, "refusal"));
}
