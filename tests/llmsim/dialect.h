/* The form of a provider family's answers and refusals: templates as data (dialects/NAME.txt), and how they are filled in. Pure.
 *
 * A dialect is a text file: settings ("path: /v1/chat/completions"), then sections. README.md beside this file documents them.
 * Parts of an answer that a family doesn't define are OpenAI's; a refusal that it doesn't define isn't sent. */
#ifndef LLMSIM_DIALECT_H
#define LLMSIM_DIALECT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

enum dialect_evidence { EVIDENCE_UNVERIFIED, EVIDENCE_REPORTED, EVIDENCE_DOCUMENTED, EVIDENCE_SEEN /* observed from the real server */ };

struct dialect_section {
    char *name;    /* "whole", "too-long" … */
    int status;    /* of a refusal; 0: none */
    bool none;     /* explicitly absent: not OpenAI's either */
    enum dialect_evidence evidence;
    char *source;  /* the page with the form, or the version that sent it; "": none */
    char *headers; /* lines that end in CRLF, or "" */
    char *body;
};

/* A piece of a streamed answer, without the event around it. */
struct dialect_piece {
    enum { PIECE_ONCE, PIECE_EACH_WORD, PIECE_LAST } when;
    const char *delta; /* the form; borrowed from the section */
    size_t size;
};

struct dialect {
    const char *name;
    struct dialect_section *sections; /* owned */
    size_t section_count;
    char *paths[4]; /* owned; '*' matches one segment */
    size_t path_count;
    char *query;    /* owned; the required query of the address; NULL: none */
    char *refused;  /* owned; a member of requests that is refused; NULL: none */
    bool key_in_header; /* the key is only accepted in the header `api-key` */
    struct dialect *base; /* OpenAI's; NULL: this is it */
};

/* The values for $NAME in a form. Texts are plain; they are escaped for JSON when filled in. */
struct dialect_values {
    uint64_t number;    /* $number: the request's */
    int64_t created;
    int64_t prompt, completion, limit; /* in tokens; $total is the first two's sum */
    const char *model, *text, *word, *path, *member;
    const char *finish; /* the finish reason */
    /* As JSON: */
    const char *message, *delta;
    const char *end; /* null, or a quoted word */
};

/* FAILED: there is no dialect of that name (*err lists the existing ones), or its file is malformed. */
enum status dialect_open(const char *name, struct dialect **ret, struct error *err) MUST_CHECK;
void dialect_close(struct dialect *dialect); /* NULL is fine */
/* A line for each dialect: its name, its address, which refusals it has. */
enum status dialect_list(FILE *out, struct error *err) MUST_CHECK;

/* A section by name, the family's, else OpenAI's; NULL: neither has one. */
const struct dialect_section *dialect_form(const struct dialect *dialect, const char *name);
/* The family's own section; NULL: it has none. */
const struct dialect_section *dialect_own(const struct dialect *dialect, const char *name);

/* Is that an address of its chat endpoint? *ret_segment: the part that matched '*', borrowed, and its size; NULL: the path has none. */
bool dialect_serves(const struct dialect *dialect, const char *path, const char *query, const char **ret_segment, size_t *ret_size);

/* A form with its values. Owned by the caller. */
char *dialect_fill(const char *form, size_t size, const struct dialect_values *values);
/* The answer's message, and the whole answer. */
char *dialect_message(const struct dialect *dialect, bool tools, const struct dialect_values *values);
char *dialect_whole(const struct dialect *dialect, bool tools, struct dialect_values values);
/* One event of a stream: "data: {…}", around this piece. */
char *dialect_event(const struct dialect *dialect, const struct dialect_piece *piece, struct dialect_values values);
/* The next piece of an answer, from byte *at of its section on. False: there are no more. */
bool dialect_next_piece(const struct dialect *dialect, bool tools, size_t *at, struct dialect_piece *ret);
/* A section of whole events: the next one, filled in, from *at on; NULL: there are no more. Owned by the caller. */
char *dialect_next_event(const struct dialect_section *section, size_t *at, const struct dialect_values *values);

/* ---- for dialect.c alone: reading a file ---- */
enum status dialect_parse(const char *name, const char *text, struct dialect *ret, struct error *err) MUST_CHECK;

#endif
