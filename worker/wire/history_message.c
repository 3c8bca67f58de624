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
    struct json_view role = json_view_member(message, "role");
    return json_view_is(role, "system") || json_view_is(role, "developer");
}

static bool is_blank(struct json_view string)
{
    size_t size;
    AUTO_FREE char *text = json_view_decode(string, &size);
    return strspn(text, " \t\r\n") == size;
}

/* A string with more than white space, or a value that contains one; a part's `type` doesn't count. Recurses as
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

bool history_message_is_empty(struct json_view message)
{
    enum { ROLE, TOOL_CALLS, FUNCTION_CALL, CONTENT, REFUSAL, MEMBERS };
    static const char *const names[MEMBERS] = {"role", "tool_calls", "function_call", "content", "refusal"};
    struct json_view of[MEMBERS];
    json_view_members(message, names, MEMBERS, of);
    return json_view_is(of[ROLE], "assistant") && !json_view_is_filled_array(of[TOOL_CALLS]) && json_view_type(of[FUNCTION_CALL]) != JSON_OBJECT &&
           !says_something(of[CONTENT]) && !says_something(of[REFUSAL]);
}
