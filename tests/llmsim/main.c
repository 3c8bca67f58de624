/* chat-llmsim: a deterministic, badly behaved, OpenAI-compatible LLM. README.md lists its faults. */
#include <argp.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "server.h"
#include "version.h"

#define FAULTS_FILE_BYTES_MAX 1048576

const char *argp_program_version = "chat-llmsim " CHAT_VERSION;

enum {
    OPT_HOST = 256, OPT_PORT, OPT_PORT_FILE, OPT_MODEL, OPT_API_KEY, OPT_LATENCY, OPT_MEAN, OPT_JITTER, OPT_SIGMA, OPT_SEED,
    OPT_TOKENS, OPT_TOKEN_INTERVAL, OPT_CTX, OPT_CTX_SHAPE, OPT_FAULTS, OPT_FAULT_RATE, OPT_KEEP, OPT_LOADING,
    OPT_JOURNAL, OPT_DIALECT
};

static const struct argp_option options[] = {
    {0, 0, 0, 0, "Where:", 1},
    {"host", OPT_HOST, "ADDRESS", 0, "Numeric address to listen on (127.0.0.1)", 1},
    {"port", OPT_PORT, "N", 0, "Port; 0 takes a free one (8000)", 1},
    {"port-file", OPT_PORT_FILE, "FILE", 0, "Write the port here once listening, in one piece", 1},
    {"api-key", OPT_API_KEY, "KEY", 0, "Want this key (Authorization: Bearer KEY, or api-key: KEY), else 401", 1},
    {"model", OPT_MODEL, "NAME", 0, "Name in /v1/models (llmsim); any model is answered, but with --dialect this one alone", 1},
    {0, 0, 0, 0, "How fast:", 2},
    {"latency", OPT_LATENCY, "MS", 0, "Mean time to the first byte (0)", 2},
    {"mean", OPT_MEAN, 0, OPTION_ALIAS, 0, 2},
    {"jitter", OPT_JITTER, "KIND", 0, "fixed, uniform or lognormal around the mean (fixed)", 2},
    {"sigma", OPT_SIGMA, "X", 0, "lognormal: sigma of the logarithm; uniform: half width as a share of the mean (0.5)", 2},
    {"seed", OPT_SEED, "N", 0, "Same seed, same latency and faults for the n-th request (1)", 2},
    {"token-interval", OPT_TOKEN_INTERVAL, "MS", 0, "Time between the deltas of a stream (0)", 2},
    {"loading", OPT_LOADING, "MS", 0, "Answer 503 \"Loading model\" for so long after the start (0)", 2},
    {0, 0, 0, 0, "What:", 3},
    {"tokens", OPT_TOKENS, "N", 0, "Pad answers to N words (0: \"echo: MESSAGE [messages=N]\" as it is)", 3},
    {"ctx", OPT_CTX, "N", 0, "Refuse prompts of more than N words with a context overflow (0: never)", 3},
    {"ctx-shape", OPT_CTX_SHAPE, "SHAPE", 0, "That refusal as openai, llamacpp or vllm puts it (the dialect's; llamacpp without one)", 3},
    {"keep", OPT_KEEP, "N", 0, "Keep the last N requests for /sim/requests, at most 64 MiB (1000)", 3},
    {"journal", OPT_JOURNAL, "FILE", 0, "Append a line of JSON for each chat or context request when it has ended, and how", 3},
    {"dialect", OPT_DIALECT, "NAME", 0, "Answer and refuse as that family of providers does, on its paths alone; 'list' prints them (OpenAI's form in short, on any path)", 3},
    {0, 0, 0, 0, "What goes wrong:", 4},
    {"faults", OPT_FAULTS, "FILE|RULES", 0, "Rules, one a line or separated by ';': KIND [key=value...] [rate=P] [times=N] "
                                            "[after=N] [match=TEXT]; the first that applies wins", 4},
    {"fault-rate", OPT_FAULT_RATE, "KIND=P", 0, "A rule that hits this share of the requests; repeatable", 4},
    {0}};

struct arguments {
    struct server_options server;
    const char *port_file;
    const char *journal_file;
    struct fault_rules *rules;
    struct dialect *dialect, *base; /* base: for the refusals without a dialect */
};

static int64_t number(struct argp_state *state, const char *name, const char *text, int64_t max)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < 0 || value > max)
        argp_error(state, "--%s: '%s' is not a whole number from 0 to %lld", name, text, (long long)max);
    return value;
}

/* A file's text if there is such a file, else the argument itself. Owned. */
static char *faults_text(struct argp_state *state, const char *arg)
{
    FILE *file = fopen(arg, "re");
    if (file == NULL)
        return xstrdup(arg);
    char *text = xcalloc(1, FAULTS_FILE_BYTES_MAX + 1);
    size_t size = fread(text, 1, FAULTS_FILE_BYTES_MAX + 1, file);
    bool failed = ferror(file) || size > FAULTS_FILE_BYTES_MAX;
    fclose(file);
    if (failed)
        argp_failure(state, EX_NOINPUT, 0, "%s: can't be read, or is over %d bytes", arg, FAULTS_FILE_BYTES_MAX);
    return text;
}

static void rules_replace(struct argp_state *state, struct arguments *a, const char *arg)
{
    struct error err = {0};
    AUTO_FREE char *text = faults_text(state, arg);
    fault_rules_destroy(a->rules);
    a->rules = NULL;
    if (fault_rules_parse(text, &a->rules, &err) != STATUS_OK)
        argp_failure(state, EX_CONFIG, 0, "--faults: %s", err.message);
}

static void dialect_choose(struct argp_state *state, struct arguments *a, const char *name)
{
    struct error err = {0};
    if (strcmp(name, "list") == 0) {
        if (dialect_list(stdout, &err) != STATUS_OK)
            argp_failure(state, EX_SOFTWARE, 0, "%s", err.message);
        exit(EX_OK);
    }
    dialect_close(a->dialect);
    a->dialect = NULL;
    if (dialect_open(name, &a->dialect, &err) != STATUS_OK)
        argp_error(state, "--dialect: %s", err.message);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct arguments *a = state->input;
    struct plan_options *plan = &a->server.plan;
    struct error err = {0};
    char *end;
    switch (key) {
    case OPT_HOST: a->server.host = arg; break;
    case OPT_PORT: a->server.port = (int)number(state, "port", arg, 65535); break;
    case OPT_PORT_FILE: a->port_file = arg; break;
    case OPT_API_KEY: a->server.api_key = arg; break;
    case OPT_MODEL:
        if (strpbrk(arg, "\"\\") != NULL)
            argp_error(state, "--model: no quotes or backslashes");
        a->server.model = arg;
        a->server.only_model = true;
        break;
    case OPT_LATENCY:
    case OPT_MEAN: plan->latency_ms = number(state, "latency", arg, 3600000); break;
    case OPT_JITTER:
        if (strcmp(arg, "fixed") == 0)
            plan->jitter = JITTER_FIXED;
        else if (strcmp(arg, "uniform") == 0)
            plan->jitter = JITTER_UNIFORM;
        else if (strcmp(arg, "lognormal") == 0)
            plan->jitter = JITTER_LOGNORMAL;
        else
            argp_error(state, "--jitter: '%s' is not fixed, uniform or lognormal", arg);
        break;
    case OPT_SIGMA:
        plan->sigma = strtod(arg, &end);
        if (end == arg || *end != '\0' || !(plan->sigma >= 0 && plan->sigma <= 10))
            argp_error(state, "--sigma: '%s' is not a number from 0 to 10", arg);
        break;
    case OPT_SEED: plan->seed = (uint64_t)number(state, "seed", arg, INT64_MAX); break;
    case OPT_TOKENS: plan->tokens = number(state, "tokens", arg, 1000000); break;
    case OPT_TOKEN_INTERVAL: plan->token_interval_ms = number(state, "token-interval", arg, 3600000); break;
    case OPT_CTX: plan->ctx = number(state, "ctx", arg, INT64_MAX); break;
    case OPT_CTX_SHAPE:
        if (strcmp(arg, "openai") != 0 && strcmp(arg, "llamacpp") != 0 && strcmp(arg, "vllm") != 0)
            argp_error(state, "--ctx-shape: '%s' is not openai, llamacpp or vllm", arg);
        plan->ctx_shape = arg;
        break;
    case OPT_KEEP: a->server.keep = (size_t)number(state, "keep", arg, 1000000); break;
    case OPT_JOURNAL: a->journal_file = arg; break;
    case OPT_DIALECT: dialect_choose(state, a, arg); break;
    case OPT_LOADING: a->server.loading_ms = number(state, "loading", arg, INT64_MAX); break;
    case OPT_FAULTS: rules_replace(state, a, arg); break;
    case OPT_FAULT_RATE:
        if (a->rules == NULL)
            a->rules = fault_rules_create();
        if (fault_rules_add_rate(a->rules, arg, &err) != STATUS_OK)
            argp_failure(state, EX_CONFIG, 0, "--fault-rate: %s", err.message);
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "'%s': no arguments are wanted", arg);
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp parser = {
    .options = options,
    .parser = parse,
    .doc = "An OpenAI-compatible LLM that answers by rule and misbehaves on demand.\v"
           "Answers are \"echo: \" and the last user message; tokens are words. A prompt asks for a fault itself, as in\n"
           "  [[fault:429 retry-after-ms=50 times=2]] hello\n"
           "or rules do, as in\n"
           "  chat-llmsim --faults '503 after=100 times=50; stall rate=0.01' --fault-rate reset=0.02\n"
           "GET /sim/stats, /sim/messages and /sim/requests?last=N tell what was seen; POST /sim/reset forgets it; "
           "POST /sim/faults replaces the rules. The kinds of faults are listed in tests/llmsim/README.md.\n\n"
           "Exits 0 after SIGTERM or SIGINT, else as sysexits.h says: 64 usage, 69 can't listen, 73 can't write the port "
           "file or the journal, 78 bad fault rules."};

static enum status port_write(const char *file, int port)
{
    AUTO_FREE char *unfinished = xasprintf("%s.%ld", file, (long)getpid());
    FILE *out = fopen(unfinished, "we");
    if (out == NULL)
        return STATUS_FAILED;
    bool good = fprintf(out, "%d\n", port) > 0;
    good = fclose(out) == 0 && good;
    if (good && rename(unfinished, file) == 0)
        return STATUS_OK;
    unlink(unfinished);
    return STATUS_FAILED;
}

static void on_signal(evutil_socket_t number_of_it, short what, void *base)
{
    (void)number_of_it;
    (void)what;
    event_base_loopbreak(base);
}

static void descriptors_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* Listens and serves until a signal; the exit code. */
static int serve(struct event_base *base, struct arguments *a)
{
    struct error err = {0};
    struct server *server = NULL;
    if (a->journal_file != NULL && journal_open(a->journal_file, &a->server.journal, &err) != STATUS_OK) {
        log_error("start_failed", F_STR("why", err.message));
        return EX_CANTCREAT;
    }
    if (server_create(base, &a->server, &a->rules, &server, &err) != STATUS_OK) {
        log_error("start_failed", F_STR("why", err.message));
        journal_close(a->server.journal);
        return EX_UNAVAILABLE;
    }
    int code = EX_OK;
    if (a->port_file != NULL && port_write(a->port_file, server_port(server)) != STATUS_OK) {
        log_error("port_file_failed", F_STR("file", a->port_file), F_STR("why", strerror(errno)));
        code = EX_CANTCREAT;
    } else {
        log_info("listening", F_STR("host", a->server.host), F_INT("port", server_port(server)));
        event_base_dispatch(base);
        log_info("ended");
    }
    server_destroy(server);
    journal_close(a->server.journal);
    return code;
}

int main(int argc, char **argv)
{
    struct arguments a = {
        .server = {.host = "127.0.0.1", .port = 8000, .model = "llmsim", .keep = 1000, .plan = {.sigma = 0.5, .seed = 1}},
    };
    argp_err_exit_status = EX_USAGE;
    if (argp_parse(&parser, argc, argv, 0, NULL, &a) != 0)
        return EX_USAGE;
    struct error err = {0};
    if (dialect_open("openai", &a.base, &err) != STATUS_OK) {
        log_error("start_failed", F_STR("why", err.message));
        return EX_SOFTWARE;
    }
    a.server.plan.dialect = a.dialect;
    a.server.plan.refusals = a.dialect != NULL ? a.dialect : a.base;
    descriptors_raise();
    signal(SIGPIPE, SIG_IGN);

    /* Precise: libevent's coarse clock would add up to 4 ms to every latency. */
    struct event_config *config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    if (base == NULL)
        return EX_OSERR;
    struct event *term = evsignal_new(base, SIGTERM, on_signal, base);
    struct event *interrupt = evsignal_new(base, SIGINT, on_signal, base);
    event_add(term, NULL);
    event_add(interrupt, NULL);

    int code = serve(base, &a);

    event_free(term);
    event_free(interrupt);
    event_base_free(base);
    fault_rules_destroy(a.rules);
    dialect_close(a.dialect);
    dialect_close(a.base);
    libevent_global_shutdown();
    return code;
}
