#include "wire/json_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/decimal.h"
#include "wire/job_scan.h"

#define SPARE_BYTES 512 /* the following texts are mostly short */

static void put(struct json_writer *writer, const char *bytes, size_t size)
{
    if (writer->capacity - writer->size <= size) /* room for the NUL, too */
        writer->text = xgrow(writer->text, &writer->capacity, writer->size + size + 1 + SPARE_BYTES, 1);
    memcpy(writer->text + writer->size, bytes, size);
    writer->size += size;
    writer->text[writer->size] = '\0';
}

void json_writer_reserve(struct json_writer *writer, size_t size)
{
    if (writer->capacity - writer->size > size)
        return;
    writer->capacity = writer->size + size + 1;
    writer->text = xrealloc(writer->text, writer->capacity);
}

static void put_comma(struct json_writer *writer)
{
    char last = writer->size == 0 ? '{' : writer->text[writer->size - 1];
    if (last != '{' && last != '[')
        put(writer, ",", 1);
}

static void put_name_sized(struct json_writer *writer, const char *name, size_t size)
{
    put_comma(writer);
    put(writer, "\"", 1);
    put(writer, name, size);
    put(writer, "\":", 2);
}

static void put_name(struct json_writer *writer, const char *name)
{
    if (name == NULL)
        put_comma(writer);
    else
        put_name_sized(writer, name, strlen(name));
}

void json_write_open(struct json_writer *writer, const char *name)
{
    put_name(writer, name);
    put(writer, "{", 1);
}

void json_write_close(struct json_writer *writer)
{
    put(writer, "}", 1);
}

void json_write_open_array(struct json_writer *writer, const char *name)
{
    put_name(writer, name);
    put(writer, "[", 1);
}

void json_write_close_array(struct json_writer *writer)
{
    put(writer, "]", 1);
}

static void put_escape(struct json_writer *writer, char c)
{
    static const char digits[] = "0123456789abcdef";
    switch (c) {
    case '"': put(writer, "\\\"", 2); break;
    case '\\': put(writer, "\\\\", 2); break;
    case '\n': put(writer, "\\n", 2); break;
    case '\t': put(writer, "\\t", 2); break;
    case '\r': put(writer, "\\r", 2); break;
    default: put(writer, (const char[]){'\\', 'u', '0', '0', digits[(c >> 4) & 1], digits[c & 15]}, 6); break;
    }
}

static void put_escaped(struct json_writer *writer, const char *text, size_t size)
{
    size_t plain = 0; /* begin of the run that needs no escape */
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= ' ' && c != '"' && c != '\\')
            continue;
        put(writer, text + plain, i - plain);
        put_escape(writer, text[i]);
        plain = i + 1;
    }
    put(writer, text + plain, size - plain);
}

/* text: valid UTF-8; may hold NULs. */
static void put_string(struct json_writer *writer, const char *text, size_t size)
{
    put(writer, "\"", 1);
    put_escaped(writer, text, size);
    put(writer, "\"", 1);
}

/* Bytes that aren't UTF-8 become '?'. */
static void put_mended(struct json_writer *writer, const char *text)
{
    for (size_t left = strlen(text);;) {
        size_t bad = utf8_invalid_at(text, left);
        put_escaped(writer, text, bad == SCAN_NOWHERE ? left : bad);
        if (bad == SCAN_NOWHERE)
            break;
        put(writer, "?", 1);
        text += bad + 1;
        left -= bad + 1;
    }
}

void json_write_text(struct json_writer *writer, const char *name, const char *text)
{
    if (text == NULL) {
        json_write_null(writer, name);
        return;
    }
    put_name(writer, name);
    put(writer, "\"", 1);
    put_mended(writer, text);
    put(writer, "\"", 1);
}

void json_write_bytes(struct json_writer *writer, const char *name, const char *text, size_t size)
{
    put_name(writer, name);
    put_string(writer, text, size);
}

void json_write_longer(struct json_writer *writer, const char *name, struct json_view string, const char *text)
{
    put_name(writer, name);
    put(writer, string.text, string.size - 1); /* without its closing quote */
    put_mended(writer, text);
    put(writer, "\"", 1);
}

void json_write_int(struct json_writer *writer, const char *name, int64_t number)
{
    char text[DECIMAL_SIZE];
    size_t length = decimal_write(number, text);
    put_name(writer, name);
    put(writer, text, length);
}

void json_write_bool(struct json_writer *writer, const char *name, bool value)
{
    put_name(writer, name);
    put(writer, value ? "true" : "false", value ? 4 : 5);
}

void json_write_null(struct json_writer *writer, const char *name)
{
    put_name(writer, name);
    put(writer, "null", 4);
}

void json_write_raw(struct json_writer *writer, const char *name, const char *json)
{
    put_name(writer, name);
    put(writer, json, strlen(json));
}

void json_write_view(struct json_writer *writer, const char *name, struct json_view json)
{
    put_name(writer, name);
    put(writer, json.text, json.size);
}

void json_write_raw_member(struct json_writer *writer, const char *name, size_t name_size, const char *json, size_t size)
{
    put_name_sized(writer, name, name_size);
    put(writer, json, size);
}

static int append(const char *bytes, size_t size, void *writer)
{
    put(writer, bytes, size);
    return 0;
}

static void put_scalar(struct json_writer *writer, const json_t *value)
{
    if (json_dump_callback(value, append, writer, JSON_ENCODE_ANY) != 0) {
        fputs("a JSON value could not be printed: out of memory\n", stderr);
        abort();
    }
}

/* As json_dumps with JSON_COMPACT, which keeps a set of all the containers it is in, against loops: more work than the text.
 * A parsed value has no loops. */
static void put_tree(struct json_writer *writer, const json_t *value)
{
    const char *name;
    json_t *member;
    size_t i;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        put(writer, "{", 1);
        json_object_foreach((json_t *)(uintptr_t)value, name, member) {
            put_comma(writer);
            put_string(writer, name, strlen(name));
            put(writer, ":", 1);
            put_tree(writer, member);
        }
        put(writer, "}", 1);
        break;
    case JSON_ARRAY:
        put(writer, "[", 1);
        json_array_foreach(value, i, member) {
            put_comma(writer);
            put_tree(writer, member);
        }
        put(writer, "]", 1);
        break;
    case JSON_STRING: put_string(writer, json_string_value(value), json_string_length(value)); break;
    default: put_scalar(writer, value); break;
    }
}

void json_write_tree(struct json_writer *writer, const char *name, const json_t *value)
{
    put_name(writer, name);
    put_tree(writer, value);
}

void json_write_member(struct json_writer *writer, const char *name, const json_t *value)
{
    put_comma(writer);
    put_string(writer, name, strlen(name));
    put(writer, ":", 1);
    put_tree(writer, value);
}

size_t json_written_size(const char *text, size_t size)
{
    size_t written = size;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\' || c == '\n' || c == '\t' || c == '\r')
            written++;
        else if (c < ' ')
            written += 5;
    }
    return written;
}
