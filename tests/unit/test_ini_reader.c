/* The pairs read from a settings file's text, and its faults. */
#include "settings/ini_reader.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"

/* "LINE section|key|value", one a pair, and a fault as "LINE! why"; in a static buffer. */
static const char *read_all(const char *text, size_t size)
{
    static char said[4096];
    AUTO_FREE char *copy = xmemdup0(text, size);
    struct ini_reader reader;
    enum ini_got got;
    size_t used = 0;
    said[0] = '\0';
    ini_reader_init(&reader, copy, size);
    while ((got = ini_next(&reader)) == INI_PAIR)
        used += (size_t)snprintf(said + used, sizeof said - used, "%d %s|%s|%s\n", reader.line, reader.section, reader.key, reader.value);
    if (got == INI_FAULT)
        snprintf(said + used, sizeof said - used, "%d! %s\n", reader.line, reader.fault);
    return said;
}

static void expect(const char *text, const char *said)
{
    cr_expect_str_eq(read_all(text, strlen(text)), said, "of \"%s\": %s", text, read_all(text, strlen(text)));
}

Test(ini_reader, pairs_have_their_section_and_line)
{
    expect("", "");
    expect("\n\n", "");
    expect("a=1", "1 |a|1\n");
    expect("[s]\na=1\n[t.u-v]\n\nb = 2\n", "2 s|a|1\n5 t.u-v|b|2\n");
    expect("[s]\n[t]\na=\n", "3 t|a|\n");
    expect("[ s ]\na=1", "2  s |a|1\n");
    expect("[s];x\na=1\n[t] # x\nb=2\n[u] \t\nc=3\n", "2 s|a|1\n4 t|b|2\n6 u|c|3\n");
}

Test(ini_reader, the_first_sign_separates)
{
    expect("a=b=c", "1 |a|b=c\n");
    expect("a:b=c", "1 |a|b=c\n");
    expect("url = https://h:1/v1?x=y;z#f", "1 |url|https://h:1/v1?x=y;z#f\n");
    expect("p = {\"a\": \"b=c\"}", "1 |p|{\"a\": \"b=c\"}\n");
    expect("=v", "1 ||v\n");
}

Test(ini_reader, white_space_around_is_nobodys_and_within_the_values)
{
    expect("  a b \t=\t c  d \t", "1 |a b|c  d\n");
    expect("[s]\r\na = 1\r\n\tb\t:\t2\r\n", "2 s|a|1\n3 s|b|2\n");
    expect("a=1\n  2=3\n", "1 |a|1\n2 |2|3\n"); /* an indented line isn't a continuation */
    expect("\xef\xbb\xbf[s]\na=\xef\xbb\xbf", "2 s|a|\xef\xbb\xbf\n");
}

Test(ini_reader, comments_end_where_the_line_does)
{
    expect("; a=1\n# b=2\n  ;c=3\n\t# d=4\ne=5", "5 |e|5\n");
    expect("a=1 ; x\nb=2;x\nc=3\t;x\nd = ; x\ne=;x\n", "1 |a|1\n2 |b|2;x\n3 |c|3\n4 |d|\n5 |e|;x\n");
    expect("a = 1 # x\n", "1 |a|1 # x\n");
}

#define NO_KEY "no key begins with { } or \"; a value doesn't go on in the next line, write it in one\n"

Test(ini_reader, what_is_no_line_is_refused)
{
    expect("a=1\nnonsense\nb=2", "1 |a|1\n2! neither [section] nor key = value\n");
    expect("a ;=1", "1! neither [section] nor key = value\n");
    expect("[s", "1! neither [section] nor key = value\n");
    expect("[s ;]", "1! neither [section] nor key = value\n");
    expect("a={\n \"b\": 1}", "1 |a|{\n2! " NO_KEY);
    expect("a=\n{\"b\": 1}", "1 |a|\n2! " NO_KEY);
    expect("a=1\n}", "1 |a|1\n2! " NO_KEY);
    expect("[s] a=1", "1! something stands after the section's ]; begin a new line\n");
    cr_expect_str_eq(read_all("a=1\nb=\0002", 8), "1 |a|1\n2! the line holds a NUL byte; the file must be text\n");
    cr_expect_str_eq(read_all("a=1\n; \0", 7), "1 |a|1\n2! the line holds a NUL byte; the file must be text\n");
}

Test(ini_reader, lines_are_of_any_length)
{
    size_t size = 1 << 20;
    AUTO_FREE char *text = xcalloc(1, 3 * size + 8);
    text[0] = '[';
    memset(text + 1, 's', size);
    memcpy(text + 1 + size, "]\n", 2);
    memset(text + size + 3, 'k', size);
    text[2 * size + 3] = '=';
    memset(text + 2 * size + 4, 'v', size);
    struct ini_reader reader;
    ini_reader_init(&reader, text, 3 * size + 4);
    cr_assert_eq(ini_next(&reader), INI_PAIR);
    cr_expect_eq(strlen(reader.section), size);
    cr_expect_eq(strlen(reader.key), size);
    cr_expect_eq(strlen(reader.value), size);
    cr_expect_eq(ini_next(&reader), INI_END);
}
