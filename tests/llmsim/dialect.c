#include "dialect.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "llmsim_dialects.h"

#define FILES (sizeof dialect_files / sizeof dialect_files[0])
#define BASE "openai"

/* ---- finding one ---- */

void dialect_close(struct dialect *dialect)
{
    if (dialect == NULL)
        return;
    for (size_t i = 0; i < dialect->section_count; i++) {
        free(dialect->sections[i].name);
        free(dialect->sections[i].source);
        free(dialect->sections[i].headers);
        free(dialect->sections[i].body);
    }
    free(dialect->sections);
    for (size_t i = 0; i < dialect->path_count; i++)
        free(dialect->paths[i]);
    free(dialect->query);
    free(dialect->refused);
    dialect_close(dialect->base);
    free(dialect);
}

static enum status unknown(const char *name, struct error *err)
{
    char names[400] = "";
    for (size_t i = 0, used = 0; i < FILES; i++)
        used += (size_t)snprintf(names + used, used < sizeof names ? sizeof names - used : 0, "%s%s", i > 0 ? ", " : "", dialect_files[i].name);
    return error_set(err, ERROR_FATAL, "llmsim_bad_dialect", "there is no dialect '%s'; there are %s", name, names);
}

enum status dialect_open(const char *name, struct dialect **ret, struct error *err)
{
    size_t i = 0;
    while (i < FILES && strcmp(dialect_files[i].name, name) != 0)
        i++;
    if (i == FILES)
        return unknown(name, err);
    struct dialect *dialect = xcalloc(1, sizeof *dialect);
    dialect->name = dialect_files[i].name;
    if (dialect_parse(name, dialect_files[i].text, dialect, err) != STATUS_OK ||
        (strcmp(name, BASE) != 0 && dialect_open(BASE, &dialect->base, err) != STATUS_OK)) {
        dialect_close(dialect);
        return STATUS_FAILED;
    }
    *ret = dialect;
    return STATUS_OK;
}

enum status dialect_list(FILE *out, struct error *err)
{
    for (size_t i = 0; i < FILES; i++) {
        struct dialect *dialect;
        if (dialect_open(dialect_files[i].name, &dialect, err) != STATUS_OK)
            return STATUS_FAILED;
        fprintf(out, "%-10s  %s%s%s ", dialect->name, dialect->paths[0], dialect->query != NULL ? "?" : "", dialect->query != NULL ? dialect->query : "");
        for (size_t s = 0; s < dialect->section_count; s++) /* listed separately: neither the streamed form nor sections without a marker */
            if (dialect->sections[s].status > 0 && strncmp(dialect->sections[s].name, "no-such-", 8) != 0 && strncmp(dialect->sections[s].name, "refused-", 8) != 0)
                fprintf(out, " %s", dialect->sections[s].name);
        fputc('\n', out);
        dialect_close(dialect);
    }
    return STATUS_OK;
}

const struct dialect_section *dialect_own(const struct dialect *dialect, const char *name)
{
    for (size_t i = 0; i < dialect->section_count; i++)
        if (strcmp(dialect->sections[i].name, name) == 0)
            return &dialect->sections[i];
    return NULL;
}

const struct dialect_section *dialect_form(const struct dialect *dialect, const char *name)
{
    const struct dialect_section *own = dialect_own(dialect, name);
    if (own == NULL && dialect->base != NULL)
        own = dialect_own(dialect->base, name);
    return own != NULL && !own->none ? own : NULL;
}

/* ---- addresses ---- */

static bool path_matches(const char *form, const char *path, const char **ret_segment, size_t *ret_size)
{
    *ret_segment = NULL;
    *ret_size = 0;
    for (; *form != '\0'; form++) {
        if (*form == '*') {
            *ret_segment = path;
            *ret_size = strcspn(path, "/");
            path += *ret_size;
            if (*ret_size == 0)
                return false;
        } else if (*form != *path++) {
            return false;
        }
    }
    return *path == '\0';
}

static bool query_has(const char *query, const char *key)
{
    size_t size = strlen(key);
    for (; query != NULL; query = strchr(query, '&')) {
        query += *query == '&';
        if (strncmp(query, key, size) == 0 && query[size] == '=' && query[size + 1] != '\0' && query[size + 1] != '&')
            return true;
    }
    return false;
}

bool dialect_serves(const struct dialect *dialect, const char *path, const char *query, const char **ret_segment, size_t *ret_size)
{
    for (size_t i = 0; i < dialect->path_count; i++)
        if (path_matches(dialect->paths[i], path, ret_segment, ret_size))
            return dialect->query == NULL || query_has(query, dialect->query);
    return false;
}

/* ---- filling in ---- */

static char *escaped(const char *text)
{
    AUTO_JSON json_t *string = json_string(text != NULL ? text : "");
    char *quotes = string == NULL ? xstrdup("\"\"") : json_dumps(string, JSON_ENCODE_ANY); /* text cut inside a character */
    size_t size = strlen(quotes);
    memmove(quotes, quotes + 1, size - 2);
    quotes[size - 2] = '\0';
    return quotes;
}

/* The value of the name; owned. NULL: there is none, and the name is plain text. */
static char *value_of(const char *name, size_t size, const struct dialect_values *v)
{
    const struct {
        const char *name;
        int64_t number;
    } numbers[] = {{"number", (int64_t)v->number}, {"created", v->created}, {"prompt", v->prompt}, {"completion", v->completion},
                   {"total", v->prompt + v->completion}, {"limit", v->limit}};
    const struct {
        const char *name, *text;
        bool is_json;
    } texts[] = {{"model", v->model, false}, {"text", v->text, false}, {"word", v->word, false}, {"path", v->path, false}, {"member", v->member, false},
                 {"finish", v->finish, false}, {"message", v->message, true}, {"delta", v->delta, true}, {"end", v->end, true}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strlen(numbers[i].name) == size && memcmp(numbers[i].name, name, size) == 0)
            return xasprintf("%" PRId64, numbers[i].number);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strlen(texts[i].name) == size && memcmp(texts[i].name, name, size) == 0)
            return texts[i].is_json ? xstrdup(texts[i].text != NULL ? texts[i].text : "null") : escaped(texts[i].text);
    return NULL;
}

char *dialect_fill(const char *form, size_t size, const struct dialect_values *values)
{
    char *filled = NULL;
    size_t filled_size = 0;
    FILE *out = open_memstream(&filled, &filled_size);
    if (out == NULL)
        abort(); /* out of memory */
    const char *end = form + size;
    while (form < end) {
        size_t name_size = 0;
        while (*form == '$' && form + 1 + name_size < end && islower((unsigned char)form[1 + name_size]))
            name_size++;
        AUTO_FREE char *value = name_size > 0 ? value_of(form + 1, name_size, values) : NULL;
        if (value != NULL) {
            fputs(value, out);
            form += 1 + name_size;
        } else {
            fputc(*form++, out);
        }
    }
    fclose(out);
    return filled;
}

static char *section_fill(const struct dialect_section *section, const struct dialect_values *values)
{
    return dialect_fill(section->body, strlen(section->body), values);
}

char *dialect_message(const struct dialect *dialect, bool tools, const struct dialect_values *values)
{
    return section_fill(dialect_form(dialect, tools ? "message-tools" : "message"), values);
}

char *dialect_whole(const struct dialect *dialect, bool tools, struct dialect_values values)
{
    AUTO_FREE char *message = dialect_message(dialect, tools, &values);
    values.message = message;
    return section_fill(dialect_form(dialect, "whole"), &values);
}

/* ---- streams ---- */

char *dialect_event(const struct dialect *dialect, const struct dialect_piece *piece, struct dialect_values values)
{
    const struct dialect_section *chunk = piece->when == PIECE_LAST ? dialect_form(dialect, "last-chunk") : NULL;
    if (chunk == NULL)
        chunk = dialect_form(dialect, "chunk");
    AUTO_FREE char *delta = dialect_fill(piece->delta, piece->size, &values);
    AUTO_FREE char *end = piece->when == PIECE_LAST ? xasprintf("\"%s\"", values.finish) : xstrdup("null");
    values.delta = delta;
    values.end = end;
    AUTO_FREE char *json = section_fill(chunk, &values);
    return xasprintf("data: %s", json);
}

bool dialect_next_piece(const struct dialect *dialect, bool tools, size_t *at, struct dialect_piece *ret)
{
    const char *line = dialect_form(dialect, tools ? "deltas-tools" : "deltas")->body + *at;
    size_t size = strcspn(line, "\n");
    if (size == 0)
        return false;
    *at += size + (line[size] == '\n');
    *ret = (struct dialect_piece){.when = PIECE_ONCE, .delta = line, .size = size};
    if (strncmp(line, "each ", 5) == 0 || strncmp(line, "last ", 5) == 0) {
        ret->when = line[0] == 'e' ? PIECE_EACH_WORD : PIECE_LAST;
        ret->delta += 5;
        ret->size -= 5;
    }
    return true;
}

char *dialect_next_event(const struct dialect_section *section, size_t *at, const struct dialect_values *values)
{
    const char *event = section->body + *at;
    if (*event == '\0')
        return NULL;
    const char *end = strstr(event, "\n\n");
    size_t size = end != NULL ? (size_t)(end - event) : strlen(event);
    *at += size + (end != NULL ? 2 : 0);
    return dialect_fill(event, size, values);
}
