#include "wire/json_writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "wire/job_scan.h"

static void put(struct json_writer *writer, const char *bytes, size_t size)
{
    if (writer->capacity - writer->size <= size) { /* room for the NUL, too */
        size_t doubled = writer->capacity * 2;
        size_t needed = writer->size + size + 1;
        writer->capacity = needed > doubled ? needed + 512 : doubled;
        writer->text = xrealloc(writer->text, writer->capacity);
    }
    memcpy(writer->text + writer->size, bytes, size);
    writer->size += size;
    writer->text[writer->size] = '\0';
}

static void put_name(struct json_writer *writer, const char *name)
{
    bool first = writer->size == 0 || writer->text[writer->size - 1] == '{';
    put(writer, ",", first ? 0 : 1);
    if (name == NULL)
        return;
    put(writer, "\"", 1);
    put(writer, name, strlen(name));
    put(writer, "\":", 2);
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

static void put_escaped(struct json_writer *writer, const char *text, size_t size)
{
    size_t plain = 0; /* begin of the run that needs no escape */
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= ' ' && c != '"' && c != '\\')
            continue;
        char escape[8];
        int length = c < ' ' ? snprintf(escape, sizeof escape, "\\u%04x", c) : snprintf(escape, sizeof escape, "\\%c", c);
        put(writer, text + plain, i - plain);
        put(writer, escape, (size_t)length);
        plain = i + 1;
    }
    put(writer, text + plain, size - plain);
}

void json_write_text(struct json_writer *writer, const char *name, const char *text)
{
    if (text == NULL) {
        json_write_null(writer, name);
        return;
    }
    put_name(writer, name);
    put(writer, "\"", 1);
    for (size_t left = strlen(text);;) {
        size_t bad = utf8_invalid_at(text, left);
        put_escaped(writer, text, bad == SCAN_NOWHERE ? left : bad);
        if (bad == SCAN_NOWHERE)
            break;
        put(writer, "?", 1);
        text += bad + 1;
        left -= bad + 1;
    }
    put(writer, "\"", 1);
}

void json_write_int(struct json_writer *writer, const char *name, int64_t number)
{
    char text[24];
    int length = snprintf(text, sizeof text, "%" PRId64, number);
    put_name(writer, name);
    put(writer, text, (size_t)length);
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

static int append(const char *bytes, size_t size, void *writer)
{
    put(writer, bytes, size);
    return 0;
}

void json_write_tree(struct json_writer *writer, const char *name, const json_t *value)
{
    put_name(writer, name);
    if (json_dump_callback(value, append, writer, JSON_COMPACT | JSON_ENCODE_ANY) != 0) {
        fputs("a JSON tree could not be printed: out of memory\n", stderr);
        abort();
    }
}
