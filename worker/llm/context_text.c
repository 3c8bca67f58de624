#include "llm/context_text.h"

#include <assert.h>
#include <curl/curl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/template.h"
#include "llm/text_buffer.h"
#include "wire/job_scan.h"
#include "wire/json_text.h"
#include "wire/json_view.h"
#include "wire/json_writer.h"

/* ---- the address ---- */

char *context_user(const char *metadata)
{
    struct json_view root = metadata != NULL ? json_view_of(metadata, metadata + strlen(metadata)) : (struct json_view){0};
    return json_view_decode(json_view_member(root, "user"), NULL);
}

static void append_encoded(struct text_buffer *url, const char *value)
{
    char *encoded = curl_easy_escape(NULL, value, 0);
    if (encoded == NULL)
        abort(); /* memory */
    text_buffer_append(url, encoded, strlen(encoded));
    curl_free(encoded);
}

/* url: "scheme://host…" */
static bool has_steps(const char *url)
{
    assert(url != NULL);
    const char *at = strstr(url, "://") + 3;
    const char *end = at + strcspn(at, "?");
    at += strcspn(at, "/?");
    while (at < end) {
        const char *segment = at + 1;
        size_t size = strcspn(segment, "/?");
        if ((size == 1 || size == 2) && strspn(segment, ".") >= size)
            return true;
        at = segment + size;
    }
    return false;
}

/* The size of a blank UTF-8 character, which many servers ignore: white space, controls, zero width. 0: not blank. */
static size_t blank_size(const char *at)
{
    static const char *const blanks[] = {"\xc2\xa0", "\xc2\xad", "\xe1\x9a\x80", "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe2\x81\xa0", "\xe3\x80\x80", "\xef\xbb\xbf"};
    unsigned char c = (unsigned char)*at;
    if (c != '\0' && (c <= ' ' || c == 0x7f))
        return 1;
    if (c == 0xc2 && (unsigned char)at[1] >= 0x80 && (unsigned char)at[1] < 0xa0) /* U+0080 to U+009F: controls */
        return 2;
    if (c == 0xe2 && (unsigned char)at[1] == 0x80 && (unsigned char)at[2] >= 0x80 && (unsigned char)at[2] <= 0x8f) /* U+2000 to U+200F: spaces, marks */
        return 3;
    for (size_t i = 0; i < sizeof blanks / sizeof *blanks; i++)
        if (strncmp(at, blanks[i], strlen(blanks[i])) == 0)
            return strlen(blanks[i]);
    return 0;
}

/* Is the value blank, or, with dots, only dots and blanks? */
static bool says_nothing(const char *value, bool dots)
{
    while (*value != '\0') {
        size_t size = dots && *value == '.' ? 1 : blank_size(value);
        if (size == 0)
            return false;
        value += size;
    }
    return true;
}

static const char *value_of(const struct template_part *part, const struct context_values *values)
{
    return template_part_is(part, "session") ? values->session
           : template_part_is(part, "user")  ? values->user
           : template_part_is(part, "job")   ? values->job
                                             : NULL;
}

static bool has_query(const struct text_buffer *url)
{
    return url->size > 0 && memchr(url->bytes, '?', url->size) != NULL;
}

char *context_url_fill(const char *template, const struct context_values *values, struct error *err)
{
    struct text_buffer url = {0};
    for (struct template_part part; template_next(&template, &part);) {
        const char *value = value_of(&part, values);
        if (value == NULL) {
            text_buffer_append(&url, part.text, part.size);
        } else if (says_nothing(value, false)) {
            (void)error_set(err, ERROR_PERMANENT, "empty_placeholder", "not asked: the job brings nothing for {%.*s} in the url%s", (int)part.size, part.text,
                            template_part_is(&part, "user") ? "; its metadata.user must be a text" : "");
            text_buffer_finish(&url);
            return NULL;
        } else if (!has_query(&url) && says_nothing(value, true)) {
            (void)error_set(err, ERROR_PERMANENT, "bad_url", "not asked: what the job brings for {%.*s} is nothing but dots, a step in the url's path", (int)part.size, part.text);
            text_buffer_finish(&url);
            return NULL;
        } else {
            append_encoded(&url, value);
        }
    }
    if (has_steps(url.bytes)) {
        (void)error_set(err, ERROR_PERMANENT, "bad_url", "not asked: with what the job brings, the url's path would hold a step (. or ..)");
        text_buffer_finish(&url);
    }
    return url.bytes;
}

/* ---- the request body ---- */

static void append_line(struct text_buffer *text, struct json_view line)
{
    size_t size;
    AUTO_FREE char *plain = json_view_decode(line, &size);
    if (plain == NULL)
        return;
    if (text->size > 0)
        text_buffer_append(text, "\n", 1);
    text_buffer_append(text, plain, size);
}

static void append_content(struct text_buffer *text, struct json_view content)
{
    struct json_view part = {0};
    append_line(text, content);
    while (json_view_next(content, &part))
        append_line(text, json_view_member(part, "text"));
}

static void write_input(struct json_writer *body, struct json_view messages)
{
    struct text_buffer text = {0};
    struct json_view message = {0};
    while (json_view_next(messages, &message))
        if (json_view_is(json_view_member(message, "role"), "user"))
            append_content(&text, json_view_member(message, "content"));
    json_write_bytes(body, "input", text_buffer_text(&text), text.size); /* with NULs, so that no text is hidden behind one */
    text_buffer_finish(&text);
}

char *context_body(enum context_send send, const struct job *job, const char *user)
{
    struct json_writer body = {0};
    if (send == CONTEXT_SEND_NOTHING)
        return NULL;
    json_write_open(&body, NULL);
    if (send == CONTEXT_SEND_INPUT) {
        write_input(&body, json_view_of(job->messages, job->messages + strlen(job->messages)));
    } else {
        json_write_text(&body, "job", job->id);
        json_write_text(&body, "session", job->session);
        json_write_text(&body, "user", user);
        json_write_raw(&body, "messages", job->messages);
    }
    json_write_close(&body);
    return body.text;
}

/* ---- the prompt ---- */

static void append_text(struct text_buffer *prompt, const char *text)
{
    text_buffer_append(prompt, text, strlen(text));
}

static const char *text_of(const struct template_part *name, const struct context_part *parts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (template_part_is(name, parts[i].name) && parts[i].text != NULL)
            return parts[i].text;
    return "";
}

static void fill_template(struct text_buffer *prompt, const char *template, const struct context_part *parts, size_t count)
{
    for (struct template_part part; template_next(&template, &part);) {
        if (part.is_name)
            append_text(prompt, text_of(&part, parts, count));
        else
            text_buffer_append(prompt, part.text, part.size);
    }
}

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n")] == '\0';
}

static void list_texts(struct text_buffer *prompt, const struct context_part *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (parts[i].text == NULL || is_blank(parts[i].text))
            continue;
        append_text(prompt, prompt->size > 0 ? "\n\n" : "");
        append_text(prompt, parts[i].name);
        append_text(prompt, ":\n");
        append_text(prompt, parts[i].text);
    }
}

char *context_prompt_fill(const char *template, const struct context_part *parts, size_t count)
{
    struct text_buffer prompt = {0};
    if (template != NULL)
        fill_template(&prompt, template, parts, count);
    else
        list_texts(&prompt, parts, count);
    if (is_blank(text_buffer_text(&prompt)))
        text_buffer_finish(&prompt);
    return prompt.bytes;
}

bool context_text_is_valid(const char *text, size_t size)
{
    if (size == 0)
        return true;
    return utf8_invalid_at(text, size) == SCAN_NOWHERE && memchr(text, '\0', size) == NULL;
}

/* ---- the verdict ---- */

enum context_verdict context_verdict_read(const char *body, size_t size)
{
    AUTO_JSON json_t *root = json_text_load(body, size);
    const json_t *allowed = json_object_get(root, "allowed");
    const json_t *results = json_object_get(root, "results");
    bool refused = json_is_false(allowed);
    if (!json_is_boolean(allowed) && json_array_size(results) == 0)
        return CONTEXT_UNREADABLE;
    for (size_t i = 0; i < json_array_size(results); i++) {
        const json_t *flagged = json_object_get(json_array_get(results, i), "flagged");
        if (!json_is_boolean(flagged))
            return CONTEXT_UNREADABLE;
        refused = refused || json_is_true(flagged);
    }
    return refused ? CONTEXT_REFUSED : CONTEXT_ALLOWED;
}
