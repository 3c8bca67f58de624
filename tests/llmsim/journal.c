#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"

struct journal {
    int fd;
};

enum status journal_open(const char *file, struct journal **ret, struct error *err)
{
    int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, ERROR_FATAL, "cannot_open", "%s: %s", file, strerror(errno));
    *ret = xcalloc(1, sizeof(struct journal));
    (*ret)->fd = fd;
    return STATUS_OK;
}

void journal_close(struct journal *journal)
{
    if (journal == NULL)
        return;
    close(journal->fd);
    free(journal);
}

/* The script begins with the status line. */
static int status_of(const struct script *script)
{
    char start[sizeof "HTTP/1.1 200"] = ""; /* the bytes aren't NUL-terminated */
    int status = 0;
    if (script->count > 0 && script->steps[0].size >= sizeof start) {
        memcpy(start, script->steps[0].bytes, sizeof start - 1);
        sscanf(start, "HTTP/1.1 %3d", &status);
    }
    return status;
}

void journal_line_start(struct journal_line *line, const struct ask *ask, uint64_t number, const struct script *script,
                        int64_t now_ms)
{
    const char *user = json_string_value(json_object_get(ask->root, "user"));
    *line = (struct journal_line){.number = number,
                                  .message = xstrdup(ask->message),
                                  .user = user != NULL ? xstrdup(user) : NULL,
                                  .status = status_of(script),
                                  .start_ms = now_ms};
}

void journal_line_start_context(struct journal_line *line, const struct context_ask *ask, int64_t now_ms)
{
    *line = (struct journal_line){.context = xstrdup(ask->name),
                                  .session = ask->session != NULL ? xstrdup(ask->session) : NULL,
                                  .user = ask->user != NULL ? xstrdup(ask->user) : NULL,
                                  .status = ask->status,
                                  .start_ms = now_ms};
}

static json_t *line_json(const struct journal_line *line)
{
    if (line->context != NULL)
        return json_pack("{s:s, s:s?, s:s?}", "context", line->context, "session", line->session, "user", line->user);
    return json_pack("{s:I, s:s, s:s?}", "number", (json_int_t)line->number, "message", line->message, "user", line->user);
}

void journal_write(struct journal *journal, struct journal_line *line, const char *end, int64_t now_ms)
{
    if (journal == NULL || (line->message == NULL && line->context == NULL))
        return;
    json_t *json = line_json(line);
    json_t *ended = json_pack("{s:i, s:s, s:I, s:I}", "status", line->status, "end", end, "start_ms", (json_int_t)line->start_ms,
                              "end_ms", (json_int_t)now_ms);
    json_object_update(json, ended);
    json_decref(ended);
    AUTO_FREE char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    AUTO_FREE char *with_end = text != NULL ? xasprintf("%s\n", text) : NULL;
    size_t size = with_end != NULL ? strlen(with_end) : 0;
    if (with_end == NULL || write(journal->fd, with_end, size) != (ssize_t)size) {
        perror("chat-llmsim: the journal can't be written");
        abort();
    }
    journal_line_finish(line);
}

void journal_line_finish(struct journal_line *line)
{
    free(line->message);
    free(line->user);
    free(line->context);
    free(line->session);
    *line = (struct journal_line){0};
}
