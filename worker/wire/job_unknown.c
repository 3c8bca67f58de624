#include "wire/job_unknown.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/edit_distance.h"

#define ESCAPED 6 /* bytes of an escape \uXXXX */

/* The search for misspelt names. */
struct search {
    struct json_view object;
    const char *const *names;
    uint64_t present; /* a bit for each of names, computed once: an object with many near names is walked twice, not once for each */
    bool looked;
};

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
    for (char *c = name; *c != '\0'; c++) /* near a known name, so short */
        if (*c < ' ' || *c > '~')
            *c = '?';
    return error_set(err, ERROR_PERMANENT, "invalid_member", "%s%s: unknown; do you mean %s%s? If not, give it another name", before, name, before, ours);
}

/* By its length alone, as for most names: this costs no copy. */
static bool is_far(const struct json_member *member, const char *const *names)
{
    size_t size = member->name_size;
    bool far = memchr(member->name, '\\', size) == NULL;
    for (; far && *names != NULL; names++)
        far = size + 1 < strlen(*names) || size > strlen(*names) + 1;
    return far;
}

static void look(struct search *search)
{
    struct json_member member = {.at = search->object.text, .end = search->object.text + search->object.size};
    search->looked = true;
    while (json_member_next(&member))
        for (size_t i = 0; search->names[i] != NULL; i++)
            if (json_member_is(&member, search->names[i]))
                search->present |= UINT64_C(1) << i;
}

static bool is_present(struct search *search, size_t which)
{
    assert(which < 64);
    if (!search->looked)
        look(search);
    return (search->present >> which & 1) != 0;
}

/* The nearest missing name; of two as near, the one of the same length: "messagse" is messages. NULL: none is near. */
static const char *meant_by(const struct json_member *member, struct search *search)
{
    if (member->name_size >= ESCAPED * (size_t)EDIT_WORD_MAX || is_far(member, search->names))
        return NULL;
    AUTO_FREE char *name = name_of(member);
    const char *meant = NULL;
    size_t best = 4; /* two letters */
    for (size_t i = 0; name != NULL && search->names[i] != NULL; i++) {
        const char *known = search->names[i];
        size_t far = 2 * edit_distance(name, known) + (strlen(name) != strlen(known));
        if (far >= best || is_present(search, i))
            continue;
        best = far;
        meant = known;
    }
    return meant;
}

enum status members_misspelt(struct json_view object, const char *before, const char *const *names, struct error *err)
{
    if (json_view_type(object) != JSON_OBJECT)
        return STATUS_OK;
    struct json_member member = {.at = object.text, .end = object.text + object.size};
    struct search search = {.object = object, .names = names};
    while (json_member_next(&member)) {
        const char *meant = is_one_of(&member, names) ? NULL : meant_by(&member, &search);
        if (meant != NULL)
            return refuse(&member, before, meant, err);
    }
    return STATUS_OK;
}
