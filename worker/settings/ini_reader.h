/* Reads a settings file's text, pair by pair, each with its section and line. Without memory of its own: it writes NULs into the text and returns
 * pointers into it. Pure; one thread at a time.
 *
 *   [section]            ends at the first ]; only a comment may follow. Before the first the section is ""
 *   key = value          or key : value; the first of the two signs separates. White space around key and value is removed, within them it is kept.
 *                        The value may be empty; it ends at the line's end, or before a ; that follows white space. Quotes are characters
 *                        No key begins with { } or ": that is the rest of a value that was meant to continue
 *   ; comment, # comment with only white space before it
 *
 * Lines end with \n or \r\n and are of any length; there are no continuation lines, and an indented line is like any other. A byte order
 * mark at the beginning is skipped.
 *
 * A reader of our own, for lines of any length (a provider's params, a list of brokers) and line numbers in messages. Of the libraries in
 * Debian 12 and 13, inih is built for lines of 198 bytes and sections of 49 and cuts the rest off, iniparser has lines of 1,024,
 * lower-cases names and has no line numbers, libini-config and GLib's GKeyFile support neither `:` nor a comment behind a value (nor has
 * GKeyFile line numbers, or ; for comments), and libconfuse reads another language. */
#ifndef CHAT_SETTINGS_INI_READER_H
#define CHAT_SETTINGS_INI_READER_H

#include <stddef.h>

struct ini_reader {
    char *at, *end;          /* what is left */
    int line;                /* number of the last line read, from 1 */
    const char *section;     /* this, key and value point into the text */
    const char *key, *value; /* of the last pair */
    const char *fault;       /* what is wrong with the line, for "FILE:LINE: ..." */
};

/* text[size] is a NUL. */
void ini_reader_init(struct ini_reader *reader, char *text, size_t size);

enum ini_got { INI_PAIR, INI_END, INI_FAULT };

/* Reads the next pair. Not to be called after a fault. */
enum ini_got ini_next(struct ini_reader *reader);

#endif
