/* Reading a dialect's file. Its lines: "# comment" and settings before the first section; "== NAME [STATUS] EVIDENCE [SOURCE]" or
 * "== NAME none" begins one; "> Header: value" precedes its body. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "dialect.h"

static enum status broken(const char *name, size_t line, const char *why, struct error *err)
{
    return error_set(err, ERROR_FATAL, "llmsim_bad_dialect", "dialect %s, line %zu: %s", name, line, why);
}

/* "key: value". */
static bool setting_read(struct dialect *d, char *line)
{
    char *value = strstr(line, ": ");
    if (value == NULL)
        return false;
    *value = '\0';
    value += 2;
    if (strcmp(line, "path") == 0 && d->path_count < sizeof d->paths / sizeof d->paths[0])
        d->paths[d->path_count++] = xstrdup(value);
    else if (strcmp(line, "query") == 0 && d->query == NULL)
        d->query = xstrdup(value);
    else if (strcmp(line, "refuses") == 0 && d->refused == NULL)
        d->refused = xstrdup(value);
    else if (strcmp(line, "auth") == 0 && strcmp(value, "api-key") == 0)
        d->key_in_header = true;
    else
        return false;
    return true;
}

static bool evidence_read(const char *word, enum dialect_evidence *ret)
{
    static const char *const names[] = {[EVIDENCE_UNVERIFIED] = "unverified", [EVIDENCE_REPORTED] = "reported", [EVIDENCE_DOCUMENTED] = "documented", [EVIDENCE_SEEN] = "seen"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(word, names[i]) == 0) {
            *ret = (enum dialect_evidence)i;
            return true;
        }
    return false;
}

/* Parses the text behind "== ". NULL, or what is wrong with it. */
static const char *section_begin(struct dialect *d, char *line)
{
    char *save = NULL;
    const char *name = strtok_r(line, " ", &save), *word = strtok_r(NULL, " ", &save);
    if (name == NULL || word == NULL)
        return "a section wants a name, and how the form is known";
    if (dialect_own(d, name) != NULL)
        return "a second section of that name";
    struct dialect_section section = {0};
    if (word[0] >= '1' && word[0] <= '9') {
        section.status = atoi(word);
        word = strtok_r(NULL, " ", &save);
    }
    section.none = word != NULL && strcmp(word, "none") == 0;
    if (word == NULL || (!section.none && !evidence_read(word, &section.evidence)))
        return "a form is seen, documented, reported, unverified, or there is none";
    const char *source = strtok_r(NULL, " ", &save);
    if (section.evidence != EVIDENCE_UNVERIFIED && source == NULL)
        return "which page has it, or what sent it?";
    section.name = xstrdup(name);
    section.source = xstrdup(source != NULL ? source : "");
    section.headers = xstrdup("");
    section.body = xstrdup("");
    d->sections = xrealloc(d->sections, (d->section_count + 1) * sizeof *d->sections);
    d->sections[d->section_count++] = section;
    return NULL;
}

static void append(char **text, const char *line, const char *eol)
{
    char *longer = xasprintf("%s%s%s", *text, line, eol);
    free(*text);
    *text = longer;
}

/* Blank lines at a section's end aren't part of it. */
static void trim(struct dialect *d)
{
    for (size_t i = 0; i < d->section_count; i++) {
        char *body = d->sections[i].body;
        size_t size = strlen(body);
        while (size > 0 && body[size - 1] == '\n')
            body[--size] = '\0';
    }
}

enum status dialect_parse(const char *name, const char *text, struct dialect *ret, struct error *err)
{
    AUTO_FREE char *copy = xstrdup(text);
    size_t number = 0;
    for (char *line = copy, *next; line != NULL; line = next) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        number++;
        struct dialect_section *section = ret->section_count > 0 ? &ret->sections[ret->section_count - 1] : NULL;
        if (strncmp(line, "== ", 3) == 0) {
            const char *why = section_begin(ret, line + 3);
            if (why != NULL)
                return broken(name, number, why, err);
        } else if (section == NULL) {
            if (line[0] != '\0' && line[0] != '#' && !setting_read(ret, line))
                return broken(name, number, "neither a comment nor a setting that is known", err);
        } else if (strncmp(line, "> ", 2) == 0 && section->body[0] == '\0') {
            append(&section->headers, line + 2, "\r\n");
        } else {
            append(&section->body, line, "\n");
        }
    }
    trim(ret);
    if (ret->path_count == 0)
        return broken(name, number, "no path is said", err);
    return STATUS_OK;
}
