#include "service/trace_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "telemetry/trace.h"

struct trace_file {
    const char *name; /* borrowed */
    FILE *out;
    struct trace *trace;
};

enum status trace_file_open(const char *file, struct trace_file **ret, struct error *err)
{
    *ret = NULL;
    if (file == NULL)
        return STATUS_OK;
    FILE *out = fopen(file, "we");
    if (out == NULL)
        return error_set(err, ERROR_PERMANENT, "trace_file", "--trace: %s can't be written: %s", file, strerror(errno));
    struct trace_file *t = xcalloc(1, sizeof *t);
    *t = (struct trace_file){.name = file, .out = out};
    if (trace_start(out, STEPS_FOR_FILE, UINT64_MAX, &t->trace, err) != STATUS_OK) {
        fclose(out);
        free(t);
        return STATUS_FAILED;
    }
    *ret = t;
    return STATUS_OK;
}

void trace_file_close(struct trace_file *t)
{
    struct trace_sums sums;
    if (t == NULL)
        return;
    trace_stop(t->trace, &sums);
    bool failed = fclose(t->out) != 0 || sums.failed;
    if (failed)
        log_error("trace_failed", F_STR("file", t->name), F_STR("error", "it can't be written: the trace isn't whole"));
    else
        log_info("trace_written", F_STR("file", t->name), F_INT("bars", sums.bars), F_INT("lost", sums.lost));
    free(t);
}
