/* Options of more than one command: those of a job that is made here (submit, ask), and the topics for its cancel
 * and its reply (ask, cancel). Child parsers, as common_argp (command.h): their inputs are the structs below, all zero; parsing
 * sets the defaults first. One thread. */
#ifndef CHAT_PRODUCER_JOB_OPTIONS_H
#define CHAT_PRODUCER_JOB_OPTIONS_H

#include <argp.h>

struct job_options {
    const char *topic;
    const char *session, *id;      /* not empty; NULL: none */
    const char *params, *metadata; /* JSON, unchanged; NULL: none */
};

struct topic_options {
    const char *control, *replies;
};

extern const struct argp job_argp, topic_argp;

#endif
