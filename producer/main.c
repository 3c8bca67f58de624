/* chat-producer: puts jobs on the topic, asks and waits for the answer, cancels, sends dead letters back. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "command.h"
#include "outside_text.h"
#include "standard_files.h"
#include "version.h"

const char *argp_program_version = "chat-producer " CHAT_VERSION;

/* ---- shared by the commands ---- */

static const struct argp_option common_options[] = {
    {NULL, 0, NULL, 0, "Kafka:", 10},
    {"bootstrap", 'b', "HOST:PORT,...", 0, "the broker (else CHATW__KAFKA__BOOTSTRAP_SERVERS, else the embedded cluster of a worker that runs here)", 10},
    {"set", 'X', "PROPERTY=VALUE", 0, "set a librdkafka property; one that is a secret can be read from a file: sasl.password_file=PATH, and so on", 10},
    {"verbose", 'v', NULL, 0, "say more on stderr: timing, and what librdkafka logs", 10},
    {0}};

static error_t parse_common(int key, char *value, struct argp_state *state)
{
    struct common *common = state->input;
    switch (key) {
    case 'b':
        common->bootstrap = value;
        return 0;
    case 'X':
        if (strchr(value, '=') == NULL || value[0] == '=')
            argp_error(state, "-X takes PROPERTY=VALUE");
        if (common->property_count == sizeof common->properties / sizeof *common->properties)
            argp_error(state, "too many -X");
        common->properties[common->property_count++] = value;
        return 0;
    case 'v':
        common->verbose = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp common_argp = {.options = common_options, .parser = parse_common};

static volatile sig_atomic_t interrupt_count, was_terminated;

/* Some calls of librdkafka have no time-out, and none returns on a signal: an alarm ends the program. */
static void count_interrupt(int number)
{
    if (number == SIGTERM)
        was_terminated = 1;
    if (interrupt_count < 100)
        interrupt_count++;
    alarm(interrupt_count > 1 ? END_NOW_S : END_WELL_S);
}

static void end_overdue(int number)
{
    static const char text[] = "\nchat-producer: ended while it still waited for Kafka; what was sent may have arrived\n";
    (void)number;
    ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
    (void)ignored;
    _exit(EXIT_NOT_DONE);
}

void catch_interrupts(void)
{
    struct sigaction action = {.sa_handler = count_interrupt}; /* no SA_RESTART: waits end early */
    struct sigaction last = {.sa_handler = end_overdue};
    sigemptyset(&action.sa_mask);
    sigemptyset(&last.sa_mask);
    sigaction(SIGALRM, &last, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int interrupts(void)
{
    return interrupt_count;
}

void interrupts_forget(void)
{
    if (was_terminated)
        return;
    interrupt_count = 0;
    alarm(0);
}

void complain(const char *fmt, ...)
{
    AUTO_FREE char *text = NULL, *line = NULL;
    va_list args;
    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0)
        text = xstrdup(fmt);
    va_end(args);
    line = outside_text_line(text);
    fprintf(stderr, "chat-producer: %s\n", line);
}

long number_argument(struct argp_state *state, const char *option, const char *text, long min)
{
    char *end = NULL;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < min || number > 1000000000)
        argp_error(state, "%s takes a whole number from %ld to 1000000000, not '%s'", option, min, text);
    return number;
}

/* ---- the choice of a command ---- */

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv, struct common *common);
} commands[] = {{"submit", submit_command}, {"ask", ask_command}, {"cancel", cancel_command}, {"replay", replay_command}};

struct choice {
    struct common common;
    const struct command *command;
    int at; /* index of the command's name in argv */
};

static error_t parse_choice(int key, char *value, struct argp_state *state)
{
    struct choice *choice = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &choice->common;
        return 0;
    case ARGP_KEY_ARG:
        for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
            if (strcmp(value, commands[i].name) == 0)
                choice->command = &commands[i];
        if (choice->command == NULL)
            argp_error(state, "no command '%s'; there are submit, ask, cancel and replay", value);
        choice->at = state->next - 1;
        state->next = state->argc; /* the rest is the command's */
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "a command is missing: submit, ask, cancel or replay");
        return EINVAL;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&common_argp, 0, NULL, 0}, {0}};

static const struct argp argp = {
    .parser = parse_choice,
    .args_doc = "COMMAND [ARGUMENT...]",
    .doc = "Puts chat jobs on Kafka, asks and waits for answers, cancels them, sends dead letters back.\n\n"
           "Commands:\n"
           "  submit   puts jobs on the topic: one message, or a file of them\n"
           "  ask      asks a question and waits for its answer; on a terminal, a chat\n"
           "  cancel   ends jobs that are queued or running, by their ids\n"
           "  replay   sends dead letters back to the topic they came from\n\n"
           "chat-producer COMMAND --help says more."
           "\vExit status: 0 done; 1 a record wasn't acknowledged, an error reply or none; 64 usage; 65 bad data; "
           "69 no broker can be reached.",
    .children = children};

int main(int argc, char **argv)
{
    static struct choice choice;
    standard_files_hold();
    signal(SIGPIPE, SIG_IGN);
    error_t rc = argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &choice);
    if (rc != 0 || choice.command == NULL)
        return EX_USAGE;
    char *name = xasprintf("chat-producer %s", choice.command->name); /* how --help calls it */
    argv[choice.at] = name;
    int status = choice.command->run(argc - choice.at, argv + choice.at, &choice.common);
    free(name);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_DONE) {
        complain("standard output can't be written");
        return EXIT_NOT_DONE;
    }
    return status;
}
