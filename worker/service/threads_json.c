#include "service/threads_json.h"

#include <stdio.h>
#include <stdlib.h>

#include "telemetry/metrics.h"
#include "telemetry/steps.h"
#include "wire/json_writer.h"

static void write_job(struct json_writer *line, int lane, const struct lane_now *now, int64_t now_us)
{
    char name[STEPS_NAME_BYTES];
    steps_lane_name(lane, name);
    line->size = 0;
    json_write_open(line, NULL);
    json_write_text(line, "lane", name);
    json_write_text(line, "job", now->job.id);
    json_write_int(line, "partition", now->job.partition);
    json_write_int(line, "offset", now->job.offset);
    json_write_int(line, "busy_ms", (now_us - now->taken_us) / 1000);
    json_write_text(line, "step", step_name(now->step));
    json_write_text(line, "waits_for", now->waits_for);
    json_write_int(line, "since_ms", (now_us - now->since_us) / 1000);
    json_write_close(line);
}

char *threads_json(int64_t now_us, size_t *ret_size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, ret_size);
    struct json_writer line = {0};
    struct lane_now now;
    int lanes = steps_lanes(), busy = 0, waiting = 0;
    fprintf(out, "{\"engine\":\"%s\",\"jobs\":[", steps_engine() == STEPS_THREADS ? "threads" : "loop");
    for (int lane = 0; lane < lanes; lane++) {
        if (!steps_now(lane, &now) || now.step == STEP_NONE)
            continue;
        fputs(busy + waiting == 0 ? "\n" : ",\n", out);
        write_job(&line, lane, &now, now_us);
        fwrite(line.text, 1, line.size, out);
        busy += now.waits_for == NULL;
        waiting += now.waits_for != NULL;
    }
    int64_t elsewhere = metric_get(METRIC_jobs_alive) - busy - waiting; /* below 0 for a moment: completion may be through with a job before its thread has left it */
    fprintf(out, "\n],\"busy\":%d,\"waiting\":%d,\"idle\":%d,\"without_lane\":%lld}\n", busy, waiting, lanes - busy - waiting,
            (long long)(elsewhere > 0 ? elsewhere : 0));
    fclose(out);
    free(line.text);
    return text;
}
