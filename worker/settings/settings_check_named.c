#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "settings/settings_check.h"

bool settings_check_named(const struct named_sections *named, const struct settings *settings, const char *name, size_t *ret)
{
    for (*ret = 0; *ret < named_sections_size(named, settings); (*ret)++)
        if (strcmp(named_sections_name(named, settings, *ret), name) == 0)
            return true;
    return false;
}

static void swap_items(char *a, char *b, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char byte = a[i];
        a[i] = b[i];
        b[i] = byte;
    }
}

enum status settings_check_order(const struct named_sections *named, struct settings *settings, char *const *names, const char *key, const char *what,
                                 const char *where, size_t *ret_count, struct error *err)
{
    for (*ret_count = 0; names[*ret_count] != NULL; (*ret_count)++) {
        size_t found, place = *ret_count;
        if (!settings_check_named(named, settings, names[place], &found))
            return REFUSE(err, "%s: llm.%s: there is no section [%s.%s]; add it with %s", where, key, named->section, names[place], what);
        if (found < place)
            return REFUSE(err, "%s: llm.%s: names %s twice", where, key, names[place]);
        if (found != place)
            swap_items(named_sections_item(named, settings, place), named_sections_item(named, settings, found), named->item_size);
    }
    return STATUS_OK;
}

bool settings_check_has_control(const char *text)
{
    for (; text != NULL && *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    return false;
}

void settings_check_trim_key(char **key)
{
    if (*key == NULL)
        return;
    size_t before = strspn(*key, " \t"), size = strlen(*key + before);
    while (size > 0 && ((*key)[before + size - 1] == ' ' || (*key)[before + size - 1] == '\t'))
        size--;
    char *trimmed = size > 0 ? xmemdup0(*key + before, size) : NULL;
    free(*key);
    *key = trimmed;
}

const char *settings_check_after_scheme(const char *url)
{
    return strncmp(url, "http://", 7) == 0 ? url + 7 : strncmp(url, "https://", 8) == 0 ? url + 8 : NULL;
}
