#include "job_options.h"

#include "cancel.h"
#include "json_argument.h"

enum { KEY_ID = 256, KEY_METADATA, KEY_PARAMS, KEY_CONTROL, KEY_REPLIES };

static const char *not_empty(struct argp_state *state, const char *option, const char *value)
{
    if (value[0] == '\0')
        argp_error(state, "%s must not be empty", option);
    return value;
}

/* ---- of a job ---- */

static const struct argp_option job_options[] = {
    {"session", 's', "SESSION", 0, "the session, also the record's key: its earlier turns are remembered", 0},
    {"id", KEY_ID, "ID", 0, "the job's id (made when missing)", 0},
    {"params", KEY_PARAMS, "JSON", 0, "an object that goes to the model: '{\"temperature\":0.2}'", 0},
    {"metadata", KEY_METADATA, "JSON", 0, "comes back untouched in the reply", 0},
    {"topic", 't', "TOPIC", 0, "the jobs topic (chat.jobs)", 0},
    {"jobs-topic", 0, NULL, OPTION_ALIAS, NULL, 0},
    {0}};

static error_t parse_job(int key, char *value, struct argp_state *state)
{
    struct job_options *job = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        job->topic = "chat.jobs";
        return 0;
    case 's':
        job->session = not_empty(state, "--session", value);
        return 0;
    case KEY_ID:
        job->id = not_empty(state, "--id", value);
        return 0;
    case KEY_PARAMS:
        job->params = json_argument(state, "--params", value);
        return 0;
    case KEY_METADATA:
        job->metadata = json_argument(state, "--metadata", value);
        return 0;
    case 't':
        job->topic = value;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp job_argp = {.options = job_options, .parser = parse_job};

/* ---- of its cancelling, and its reply ---- */

static const struct argp_option topic_options[] = {
    {"control-topic", KEY_CONTROL, "TOPIC", 0, "where jobs are cancelled (" CONTROL_TOPIC ")", 0},
    {"replies-topic", KEY_REPLIES, "TOPIC", 0, "where replies come (chat.replies)", 0},
    {0}};

static error_t parse_topic(int key, char *value, struct argp_state *state)
{
    struct topic_options *topics = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        *topics = (struct topic_options){.control = CONTROL_TOPIC, .replies = "chat.replies"};
        return 0;
    case KEY_CONTROL:
        topics->control = value;
        return 0;
    case KEY_REPLIES:
        topics->replies = value;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp topic_argp = {.options = topic_options, .parser = parse_topic};
