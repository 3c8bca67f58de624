#include "wire/json_member.h"

#include <string.h>

/* From just behind an opening quote to its closing quote, or to end. A quote behind an odd number of backslashes is escaped. */
static const char *string_end(const char *begin, const char *end)
{
    for (const char *quote = begin; (quote = memchr(quote, '"', (size_t)(end - quote))) != NULL; quote++) {
        const char *slashes = quote;
        while (slashes > begin && slashes[-1] == '\\')
            slashes--;
        if ((quote - slashes) % 2 == 0)
            return quote;
    }
    return end;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && is_space(*p))
        p++;
    return p;
}

/* Behind the value that begins at p: the comma or brace that ends it, or end. */
static const char *value_end(const char *p, const char *end)
{
    for (size_t depth = 0; p < end; p++) {
        if (*p == '"') {
            p = string_end(p + 1, end);
            if (p == end)
                return end;
        } else if (*p == '{' || *p == '[') {
            depth++;
        } else if (*p == '}' || *p == ']') {
            if (depth == 0)
                return p;
            depth--;
        } else if (*p == ',' && depth == 0) {
            return p;
        }
    }
    return end;
}

const char *json_value_end(const char *at, const char *end)
{
    if (*at == '"') {
        const char *quote = string_end(at + 1, end);
        return quote == end ? end : quote + 1;
    }
    const char *after = value_end(at, end);
    while (after > at && is_space(after[-1]))
        after--;
    return after;
}

bool json_member_next(struct json_member *member)
{
    const char *end = member->end;
    const char *p = skip_space(member->at, end);
    if (p == end || *p != (member->name == NULL ? '{' : ','))
        return false;
    p = skip_space(p + 1, end);
    if (p == end || *p != '"')
        return false;
    const char *name = p + 1;
    p = string_end(name, end);
    size_t name_size = (size_t)(p - name);
    p = p == end ? end : skip_space(p + 1, end);
    if (p == end || *p != ':')
        return false;
    p = skip_space(p + 1, end);
    member->name = name;
    member->name_size = name_size;
    member->value = p;
    member->at = value_end(p, end);
    const char *last = member->at;
    while (last > p && is_space(last[-1]))
        last--;
    member->value_size = (size_t)(last - p);
    member->whole = member->at < end;
    return true;
}

bool json_member_is(const struct json_member *member, const char *name)
{
    return json_text_means(member->name, member->name_size, name);
}
