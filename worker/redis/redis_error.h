/* What an error reply of Redis (or Valkey, or a proxy before it) means for the call that got it: pure.
 *
 * Before version 7 an error inside a script arrives wrapped: "ERR Error running script (call to f_…): @user_script:1:
 * @user_script: 1: -READONLY You can't write …"; from 7 on the reply is the error itself, followed by the script's
 * name. A missing right of a script's command has no code at all, but a different text in each version. So a code counts
 * anywhere in the text, and so do some texts without a code.
 *
 * An unknown error doesn't fail the job: it waits (REDIS_ERROR_UNKNOWN), since a job given up by mistake
 * is lost, and one that waits is visible in the log. */
#ifndef CHAT_REDIS_REDIS_ERROR_H
#define CHAT_REDIS_REDIS_ERROR_H

#include "base/error.h"

enum redis_error_kind {
    REDIS_ERROR_ANSWER_LOST = 1, /* no valid reply: the connection ended before it, or it is malformed. Redis may have run the command */
    REDIS_ERROR_OUTAGE,      /* the server can't serve now: close the connection, resolve again, wait */
    REDIS_ERROR_SETTINGS,    /* a right, a command or a version is missing: wait likewise, until an operator fixes it */
    REDIS_ERROR_SCRIPT_LOST, /* NOSCRIPT: the script isn't loaded (any more) */
    REDIS_ERROR_DATA,        /* the type of a key, or the script's arguments: this call fails every time */
    REDIS_ERROR_UNKNOWN      /* this call was refused for an unknown reason: it is tried again */
};

enum redis_error_kind redis_error_kind(const char *text);

/* err->code, by kind. */
#define REDIS_CODE_ANSWER_LOST "redis_io"
#define REDIS_CODE_OUTAGE "redis_unavailable"
#define REDIS_CODE_SETTINGS "redis_settings"
#define REDIS_CODE_REFUSED "redis_refused"
#define REDIS_CODE_DATA "redis_error"

/* Fills *err by the text's kind: kind, code and class (DATA: PERMANENT; else UNAVAILABLE: not a job's fault), and a
 * message with where, what, and what to do. script NULL: a plain command. Never contains a command's arguments.
 * Returns STATUS_FAILED. */
enum status redis_error_set(struct error *err, const char *address, const char *script, const char *text);

#endif
