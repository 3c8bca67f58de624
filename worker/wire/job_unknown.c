#include "wire/job_unknown.h"

#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/edit_distance.h"

#define ESCAPED 6 /* bytes of a character that is written \uXXXX */

static char *name_of(const struct json_member *member)
{
    return json_view_decode((struct json_view){member->name - 1, member->name_size + 2}, NULL);
}

static bool is_one_of(const struct json_member *member, const char *const *names)
{
    for (; *names != NULL; names++)
        if (json_member_is(member, *names))
            return true;
    return false;
}

static enum status refuse(const struct json_member *member, const char *before, const char *ours, struct error *err)
{
    AUTO_FREE char *name = name_of(member);
    for (char *c = name; *c != '\0'; c++) /* near one of ours: short */
        if (*c < ' ' || *c > '~')
            *c = '?';
    return error_set(err, ERROR_PERMANENT, "invalid_member", "%s%s: unknown; do you mean %s%s? If not, give it another name", before, name, before, ours);
}

/* Told by its length alone, as most are: it costs no copy. */
static bool is_far(const struct json_member *member, const char *const *names)
{
    size_t size = member->name_size;
    bool far = memchr(member->name, '\\', size) == NULL;
    for (; far && *names != NULL; names++)
        far = size + 1 < strlen(*names) || size > strlen(*names) + 1;
    return far;
}

/* The absent one that is nearest; of two as near, the one of the same length: "messagse" is messages. NULL: none is near. */
static const char *meant_by(const struct json_member *member, struct json_view object, const char *const *names)
{
    if (member->name_size >= ESCAPED * (size_t)EDIT_WORD_MAX || is_far(member, names))
        return NULL;
    AUTO_FREE char *name = name_of(member);
    const char *meant = NULL;
    size_t best = 4; /* two letters */
    for (; name != NULL && *names != NULL; names++) {
        size_t far = 2 * edit_distance(name, *names) + (strlen(name) != strlen(*names));
        if (far >= best || json_view_member(object, *names).size > 0)
            continue;
        best = far;
        meant = *names;
    }
    return meant;
}

enum status members_misspelt(struct json_view object, const char *before, const char *const *names, struct error *err)
{
    if (json_view_type(object) != JSON_OBJECT)
        return STATUS_OK;
    struct json_member member = {.at = object.text, .end = object.text + object.size};
    while (json_member_next(&member)) {
        const char *meant = is_one_of(&member, names) ? NULL : meant_by(&member, object, names);
        if (meant != NULL)
            return refuse(&member, before, meant, err);
    }
    return STATUS_OK;
}
