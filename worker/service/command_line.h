/* What chat-worker was asked to do, from its command line; `--help` shows the settings from their table. Main thread, before all others.
 * A command line that isn't understood, --help and --version end the process here (64, 0). */
#ifndef CHAT_SERVICE_COMMAND_LINE_H
#define CHAT_SERVICE_COMMAND_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum action { RUN, PRINT_CONFIG, CHECK_CONFIG, PRINT_PAGE };

struct arguments {
    enum action action;
    void (*page)(FILE *); /* PRINT_PAGE: prints what is made from the table of settings alone */
    bool connect;
    const char *file; /* of settings; NULL: none */
    const char *trace_file; /* NULL: none */
    const char *overrides[256]; /* SECTION.KEY=VALUE, NULL-terminated */
    size_t override_count;
};

/* ret's texts are argv's. */
void command_line_read(int argc, char **argv, struct arguments *ret);

#endif
