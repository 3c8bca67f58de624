#include "service/admin_trace.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "telemetry/trace.h"

struct admin_trace {
    FILE *out;
    char *text; /* what out has written, after a flush */
    size_t size;
    struct trace *trace;
};

enum status admin_trace_start(struct admin_trace **ret, struct error *err)
{
    struct admin_trace *t = xcalloc(1, sizeof *t);
    t->out = open_memstream(&t->text, &t->size);
    if (t->out == NULL || trace_start(t->out, STEPS_FOR_REQUEST, TRACE_BYTES_MAX, &t->trace, err) != STATUS_OK) {
        if (t->out != NULL)
            fclose(t->out);
        free(t->text);
        free(t);
        return STATUS_FAILED;
    }
    *ret = t;
    return STATUS_OK;
}

struct admin_page admin_trace_end(struct admin_trace *t)
{
    struct trace_sums sums;
    trace_stop(t->trace, &sums);
    fclose(t->out);
    log_info("trace_recorded", F_INT("bars", sums.bars), F_INT("lost", sums.lost), F_INT("bytes", t->size));
    struct admin_page page = {.status = 200, .type = "application/json", .text = t->text, .size = t->size};
    free(t);
    return page;
}
