/* A settings file's text, pair by pair, each with its section and line. Without memory of its own: it writes NULs into the text and lends
 * what stands there. Pure; one thread at a time.
 *
 *   [section]            ends at the first ]; only a comment may stand behind it. Before the first the section is ""
 *   key = value          or key : value; the first of the two signs separates. White space around both isn't theirs, what is within is.
 *                        The value may be empty; it ends at the line's end, or before a ; that follows white space. Quotes are characters
 *                        No key begins with { } or ": that is the rest of a value that was meant to go on
 *   ; comment, # comment where nothing but white space stands before it
 *
 * Lines end with \n or \r\n and are of any length; nothing goes on in the next one, and an indented line is like any other. A byte order
 * mark at the beginning is passed over.
 *
 * A reader of our own, for lines of any length (a provider's params, a list of brokers) and places in messages. Of the libraries that
 * Debian 12 and 13 have, inih is built for lines of 198 bytes and sections of 49 and cuts the rest off, iniparser has lines of 1,024,
 * puts names into small letters and tells no line, libini-config and GLib's GKeyFile know neither `:` nor a comment behind a value (nor does
 * GKeyFile tell lines, or take ; for a comment), and libconfuse reads another language. */
#ifndef CHAT_SETTINGS_INI_READER_H
#define CHAT_SETTINGS_INI_READER_H

#include <stddef.h>

struct ini_reader {
    char *at, *end;          /* what is left */
    int line;                /* the last that was read, from 1 */
    const char *section;     /* these are lent by the text */
    const char *key, *value; /* of the last pair */
    const char *fault;       /* what is wrong with the line, for "FILE:LINE: ..." */
};

/* text[size] is a NUL. */
void ini_reader_init(struct ini_reader *reader, char *text, size_t size);

enum ini_got { INI_PAIR, INI_END, INI_FAULT };

/* To the next pair. After a fault nothing more is to be read. */
enum ini_got ini_next(struct ini_reader *reader);

#endif
