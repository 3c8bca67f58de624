#include "wire/json_member.h"

#include "wire/json_walk.h"

/* Behind the value that begins at p: the comma or brace that ends it, or end. */
static const char *value_end(const char *p, const char *end)
{
    size_t depth = 0;
    for (p = json_next_mark(p, end); p < end; p = json_next_mark(p + 1, end)) {
        bool closes = *p == '}' || *p == ']';
        if (depth == 0 && (closes || *p == ','))
            return p;
        depth += *p == '{' || *p == '[';
        depth -= closes;
    }
    return end;
}

const char *json_value_end(const char *at, const char *end)
{
    if (*at == '"') {
        const char *quote = json_string_end(at + 1, end);
        return quote == end ? end : quote + 1;
    }
    const char *after = value_end(at, end);
    while (after > at && json_is_space(after[-1]))
        after--;
    return after;
}

bool json_member_next(struct json_member *member)
{
    const char *end = member->end;
    const char *p = json_skip_space(member->at, end);
    if (p == end || *p != (member->name == NULL ? '{' : ','))
        return false;
    p = json_skip_space(p + 1, end);
    if (p == end || *p != '"')
        return false;
    const char *name = p + 1;
    p = json_string_end(name, end);
    size_t name_size = (size_t)(p - name);
    p = p == end ? end : json_skip_space(p + 1, end);
    if (p == end || *p != ':')
        return false;
    p = json_skip_space(p + 1, end);
    member->name = name;
    member->name_size = name_size;
    member->value = p;
    member->at = value_end(p, end);
    const char *last = member->at;
    while (last > p && json_is_space(last[-1]))
        last--;
    member->value_size = (size_t)(last - p);
    member->whole = member->at < end;
    return true;
}

bool json_member_is(const struct json_member *member, const char *name)
{
    return json_text_means(member->name, member->name_size, name);
}
