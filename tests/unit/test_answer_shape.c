/* Whether a body is a stream, by its first bytes; and which marks end a stream. */
#include "llm/answer_shape.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "llm/done_mark.h"

Test(answer_shape, is_told_by_bytes_and_only_then_by_type)
{
    static const struct {
        const char *bytes;
        enum http_shape untyped, typed;
    } rows[] = {
        {"{\"choices\"", HTTP_SHAPE_WHOLE, HTTP_SHAPE_WHOLE},
        {"[", HTTP_SHAPE_WHOLE, HTTP_SHAPE_WHOLE},
        {"\xef\xbb\xbf{", HTTP_SHAPE_WHOLE, HTTP_SHAPE_WHOLE},
        {"\xef\xbb", HTTP_SHAPE_OPEN, HTTP_SHAPE_OPEN},
        {"\xef\xbb\xbf", HTTP_SHAPE_OPEN, HTTP_SHAPE_OPEN},
        {"\xef\xbb\xbf\r\ndata:", HTTP_SHAPE_STREAM, HTTP_SHAPE_STREAM},
        {"d", HTTP_SHAPE_OPEN, HTTP_SHAPE_OPEN},
        {"data", HTTP_SHAPE_OPEN, HTTP_SHAPE_OPEN},
        {"data:", HTTP_SHAPE_STREAM, HTTP_SHAPE_STREAM},
        {"data\n", HTTP_SHAPE_STREAM, HTTP_SHAPE_STREAM},
        {"database down", HTTP_SHAPE_WHOLE, HTTP_SHAPE_STREAM},
        {":", HTTP_SHAPE_STREAM, HTTP_SHAPE_STREAM},
        {"event: x", HTTP_SHAPE_STREAM, HTTP_SHAPE_STREAM},
        {"id:1", HTTP_SHAPE_STREAM, HTTP_SHAPE_STREAM},
        {"retry: 3", HTTP_SHAPE_STREAM, HTTP_SHAPE_STREAM},
        {"error: {", HTTP_SHAPE_STREAM, HTTP_SHAPE_STREAM},
        {"<html>", HTTP_SHAPE_WHOLE, HTTP_SHAPE_STREAM},
        {"nothing", HTTP_SHAPE_WHOLE, HTTP_SHAPE_STREAM},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t size = strlen(rows[i].bytes);
        AUTO_FREE char *exact = malloc(size);
        memcpy(exact, rows[i].bytes, size);
        cr_expect_eq(answer_shape_look(false, exact, size), rows[i].untyped, "%s", rows[i].bytes);
        cr_expect_eq(answer_shape_look(true, exact, size), rows[i].typed, "%s", rows[i].bytes);
    }
}

Test(done_mark, is_known_however_it_is_written)
{
    static const char *const marks[] = {"[DONE]", "[done]", "\"[DONE]\"", "[DONE] bye"}, *const others[] = {"", "[DONE", "DONE", "{}", "[]"};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        cr_expect(done_mark_is(marks[i], strlen(marks[i])), "%s", marks[i]);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        cr_expect_not(done_mark_is(others[i], strlen(others[i])), "%s", others[i]);
}

Test(done_mark, and_white_space_may_stand_behind_an_answer)
{
    static const struct {
        const char *text;
        size_t skipped;
        bool done;
    } rows[] = {
        {"", 0, false}, {" \r\n", 3, false}, {"[DONE]", 6, true}, {"\n\ndata: [DONE]\n\n", 16, true}, {"data:", 5, false},
        {"\ndata: {}", 1, false}, {"{}", 0, false}, {"[DONE]x", 6, true}, {"[]", 0, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool done;
        cr_expect_eq(done_mark_skip(rows[i].text, strlen(rows[i].text), &done), rows[i].skipped, "%s", rows[i].text);
        cr_expect_eq(done, rows[i].done, "%s", rows[i].text);
    }
    bool done;
    cr_expect_eq(done_mark_skip("\0\0[DONE]", 8, &done), 8u);
}
