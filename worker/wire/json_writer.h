/* JSON text built front to back, for the texts of each job (requests, replies, turns): building a tree only to print it
 * costs several times as much. Pure, any thread; ends the process when out of memory. */
#ifndef CHAT_WIRE_JSON_WRITER_H
#define CHAT_WIRE_JSON_WRITER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/json_view.h"

struct json_writer {
    char *text; /* NUL-terminated once something is written; owned */
    size_t size;
    size_t capacity;
};

/* Each function writes "name":value, with a comma where needed. Names are constants in plain ASCII; NULL: the outermost value, or an element
 * of an array. */
/* Makes room for so many bytes more, so that a long text is copied once. */
void json_writer_reserve(struct json_writer *writer, size_t size);
void json_write_open(struct json_writer *writer, const char *name);
void json_write_close(struct json_writer *writer);
void json_write_open_array(struct json_writer *writer, const char *name);
void json_write_close_array(struct json_writer *writer);
/* NULL is null; bytes that aren't UTF-8 become '?'. */
void json_write_text(struct json_writer *writer, const char *name, const char *text);
/* text: valid UTF-8 of that size, which may contain NULs. */
void json_write_bytes(struct json_writer *writer, const char *name, const char *text, size_t size);
/* The size that is written between the quotes: up to six times as much, for control characters. */
size_t json_written_size(const char *text, size_t size);
void json_write_int(struct json_writer *writer, const char *name, int64_t number);
void json_write_bool(struct json_writer *writer, const char *name, bool value);
void json_write_null(struct json_writer *writer, const char *name);
/* json: valid JSON text, written unchanged. */
void json_write_raw(struct json_writer *writer, const char *name, const char *json);
void json_write_view(struct json_writer *writer, const char *name, struct json_view json);
/* Writes a string with text appended to it, as json_write_text. */
void json_write_longer(struct json_writer *writer, const char *name, struct json_view string, const char *text);
/* Writes name and value unchanged: the name is the raw text between its quotes. */
void json_write_raw_member(struct json_writer *writer, const char *name, size_t name_size, const char *json, size_t size);
/* Compact. Recurses as deep as value is nested, which the parser has bounded (JSON_DEPTH_MAX). */
void json_write_tree(struct json_writer *writer, const char *name, const json_t *value);
/* json_write_tree with any name in UTF-8, which is escaped as needed. */
void json_write_member(struct json_writer *writer, const char *name, const json_t *value);

#endif
