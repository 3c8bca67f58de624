#include "settings/setting_value.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "settings/settings_source.h"

/* Choices are written through an int. */
_Static_assert(sizeof(enum ordering) == sizeof(int) && sizeof(enum log_level) == sizeof(int), "enums are ints");

static void list_free(char **list)
{
    for (size_t i = 0; list != NULL && list[i] != NULL; i++)
        free(list[i]);
    free(list);
}

static char **split_list(const char *text)
{
    AUTO_FREE char *copy = xstrdup(text);
    char **list = xcalloc(1, sizeof *list);
    size_t count = 0;
    char *rest = copy;
    for (char *word; (word = strsep(&rest, ",")) != NULL;) {
        while (isspace((unsigned char)*word))
            word++;
        for (size_t n = strlen(word); n > 0 && isspace((unsigned char)word[n - 1]); n--)
            word[n - 1] = '\0';
        if (*word == '\0')
            continue;
        list = xrealloc(list, (count + 2) * sizeof *list);
        list[count++] = xstrdup(word);
        list[count] = NULL;
    }
    return list;
}

static enum status store_int(const struct setting *setting, void *field, const char *value, const char *where, const char *section, struct error *err)
{
    char *end = NULL;
    errno = 0;
    if (setting->word != NULL && strcmp(value, setting->word) == 0) {
        *(int64_t *)field = -1;
        return STATUS_OK;
    }
    long long number = strtoll(value, &end, 10);
    if (*value == '\0' || *end != '\0' || errno != 0 || number < setting->min || number > setting->max)
        return REFUSE(err, "%s: %s.%s: \"%.40s\" is no whole number from %lld to %lld%s%s%s%s", where, section, setting->key, value,
                      (long long)setting->min, (long long)setting->max, *setting->unit ? " " : "", setting->unit, setting->word ? " nor " : "",
                      setting->word ? setting->word : "");
    *(int64_t *)field = number;
    return STATUS_OK;
}

static enum status store_choice(const struct setting *setting, int *field, const char *value, const char *where, const char *section, struct error *err)
{
    char all[128] = "";
    for (int i = 0; setting->choices[i] != NULL; i++) {
        if (strcmp(value, setting->choices[i]) == 0) {
            *field = i;
            return STATUS_OK;
        }
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "", setting->choices[i]);
    }
    return REFUSE(err, "%s: %s.%s: \"%.40s\" is none of: %s", where, section, setting->key, value, all);
}

enum status setting_store(const struct setting *setting, void *base, const char *section, const char *value, const char *where, struct error *err)
{
    void *field = (char *)base + setting->at;
    assert(field != NULL || setting->type == SETTING_CHOICE);
    switch (setting->type) {
    case SETTING_INT:
        return store_int(setting, field, value, where, section, err);
    case SETTING_CHOICE:
        return store_choice(setting, field, value, where, section, err);
    case SETTING_TEXT:
        free(*(char **)field);
        *(char **)field = *value ? xstrdup(value) : NULL;
        return STATUS_OK;
    case SETTING_LIST:
        list_free(*(char ***)field);
        *(char ***)field = split_list(value);
        return STATUS_OK;
    }
    return STATUS_OK;
}

void setting_release(const struct setting *setting, void *base)
{
    if (setting->type == SETTING_TEXT)
        free(*(char **)((char *)base + setting->at));
    else if (setting->type == SETTING_LIST)
        list_free(*(char ***)((char *)base + setting->at));
}
