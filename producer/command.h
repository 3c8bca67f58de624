/* Shared by the sub-commands: their common options, and Ctrl-C. One thread. */
#ifndef CHAT_PRODUCER_COMMAND_H
#define CHAT_PRODUCER_COMMAND_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>

#define MESSAGE_BYTES_MAX ((size_t)16 << 20) /* a line, a question: more is refused */

enum exit_status {
    EXIT_DONE = 0,
    EXIT_NOT_DONE = 1, /* a record wasn't acknowledged, or the reply is an error or didn't come */
};                     /* and from sysexits.h: 64 EX_USAGE, 65 EX_DATAERR, 69 EX_UNAVAILABLE */

struct common {
    const char *bootstrap; /* NULL: see kafka_client.h */
    const char *properties[128];
    size_t property_count;
    bool verbose;
};

/* A child parser for each command's own; its input is a struct common. */
extern const struct argp common_argp;

/* argv[0] is "chat-producer NAME". They return the exit status. */
int submit_command(int argc, char **argv, struct common *common);
int ask_command(int argc, char **argv, struct common *common);
int cancel_command(int argc, char **argv, struct common *common);
int replay_command(int argc, char **argv, struct common *common);

/* How often INT or TERM came since catch_interrupts. The first asks for an orderly end, the second for an end at once. Whatever the program is stuck in, it
 * ends within these seconds after the first and the second, with EXIT_NOT_DONE. */
#define END_WELL_S 150 /* longer than a record or a transaction may take by itself */
#define END_NOW_S 2
void catch_interrupts(void);
int interrupts(void);
/* The interrupted step is done: the next interrupt counts as the first. Not after TERM, which ends the program. */
void interrupts_forget(void);

/* Prints "chat-producer: ..." on stderr, as one line, whatever the text contains (outside_text.h). */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A whole number of at least min, or argp_error (exit 64). */
long number_argument(struct argp_state *state, const char *option, const char *text, long min);

#endif
