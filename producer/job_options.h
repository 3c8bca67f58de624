/* The options that more than one command takes: those of a job that is made here (submit, ask), and the topics on which it is cancelled
 * and answered (ask, cancel). Child parsers, as common_argp (command.h): their inputs are the structs below, all zero; what isn't said has
 * its default once parsing begins. One thread. */
#ifndef CHAT_PRODUCER_JOB_OPTIONS_H
#define CHAT_PRODUCER_JOB_OPTIONS_H

#include <argp.h>

struct job_options {
    const char *topic;
    const char *session, *id;      /* not empty; NULL: none */
    const char *params, *metadata; /* JSON, as it was given; NULL: none */
};

struct topic_options {
    const char *control, *replies;
};

extern const struct argp job_argp, topic_argp;

#endif
