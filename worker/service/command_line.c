#include "service/command_line.h"

#include <argp.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sysexits.h>

#include "settings/settings.h"
#include "version.h"

enum { KEY_PRINT = 256, KEY_CHECK, KEY_CONNECT, KEY_MARKDOWN, KEY_MAN, KEY_EXAMPLE, KEY_TRACE };

const char *argp_program_version = "chat-worker " CHAT_VERSION;

static const struct argp_option options[] = {
    {"config", 'c', "FILE", 0, "read settings from FILE (INI)", 0},
    {"set", 'X', "SECTION.KEY=VALUE", 0, "set one setting; wins over the file and the environment", 0},
    {"check-config", KEY_CHECK, NULL, 0, "check the settings and exit (0, or 78 and why)", 0},
    {"connect", KEY_CONNECT, NULL, 0, "with --check-config: try Kafka and Redis too", 0},
    {"trace", KEY_TRACE, "FILE", 0, "write what each job does, step by step, to FILE, for Perfetto", 0},
    {"print-config", KEY_PRINT, NULL, 0, "print the settings in force, secrets masked, and exit", 0},
    {"print-example", KEY_EXAMPLE, NULL, 0, "print an example settings file and exit", 0},
    {"print-markdown", KEY_MARKDOWN, NULL, OPTION_HIDDEN, "print docs/configuration.md", 0},
    {"print-man", KEY_MAN, NULL, OPTION_HIDDEN, "print the text of chat-worker.ini(5)", 0},
    {0}};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case 'c':
        arguments->file = value;
        return 0;
    case 'X':
        if (arguments->override_count + 1 >= sizeof arguments->overrides / sizeof *arguments->overrides)
            argp_error(state, "too many -X");
        arguments->overrides[arguments->override_count++] = value;
        return 0;
    case KEY_TRACE:
        arguments->trace_file = value;
        return 0;
    case KEY_PRINT:
        arguments->action = PRINT_CONFIG;
        return 0;
    case KEY_CHECK:
        arguments->action = CHECK_CONFIG;
        return 0;
    case KEY_CONNECT:
        arguments->connect = true;
        return 0;
    case KEY_MARKDOWN:
        arguments->action = PRINT_PAGE;
        arguments->page = settings_print_markdown;
        return 0;
    case KEY_MAN:
        arguments->action = PRINT_PAGE;
        arguments->page = settings_print_man;
        return 0;
    case KEY_EXAMPLE:
        arguments->action = PRINT_PAGE;
        arguments->page = settings_print_example;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument: %s", value);
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The settings are part of --help: made from their table. */
static char *help_filter(int key, const char *text, void *input)
{
    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC)
        return (char *)(uintptr_t)text;
    char *made = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&made, &size);
    fprintf(out, "Settings (file, then CHATW__SECTION__KEY in the environment, then -X; the last wins):\n\n");
    settings_print_help(out);
    fprintf(out, "\nSignals: TERM or INT drains (a second one ends within a second), TSTP takes no new jobs, CONT takes them again, "
                 "USR1 logs what each thread does and for whom it waits.\nExit status: 0 after a drain; 64 usage, 69 a service can't be reached, "
                 "70 internal error, 74 what it was to print can't be written, 75 ended at once by a second signal, or by itself because something it waited for didn't come in worker.close_timeout_ms, or its "
                 "Kafka producer was fenced, too slow or failed for good (nothing is lost: start it again), 78 settings "
                 "(also a group.instance.id that another process came with).\n");
    fclose(out);
    return made;
}

static const struct argp argp = {options, parse_option, NULL,
                                 "Answers chat jobs from Kafka with plain threads: Redis for claims and history, an LLM for the answer."
                                 "\v ",
                                 NULL, help_filter, NULL};

void command_line_read(int argc, char **argv, struct arguments *ret)
{
    *ret = (struct arguments){0};
    argp_err_exit_status = EX_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, ret);
}
