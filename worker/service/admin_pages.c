#include "service/admin_pages.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "telemetry/held_back.h"
#include "telemetry/labelled_metrics.h"
#include "telemetry/loop_turns.h"
#include "telemetry/metrics.h"

struct admin_page admin_page_plain(int status, const char *text)
{
    char *line = xasprintf("%s\n", text);
    return (struct admin_page){.status = status, .type = "text/plain; charset=utf-8", .text = line, .size = strlen(line)};
}

static struct admin_page healthz(const struct admin_probes *probes)
{
    char why[512] = "failing";
    bool healthy = probes->healthy(probes->arg, why, sizeof why);
    return admin_page_plain(healthy ? 200 : 503, healthy ? "ok" : why);
}

static struct admin_page readyz(const struct admin_probes *probes)
{
    bool ready = probes->ready(probes->arg);
    return admin_page_plain(ready ? 200 : 503, ready ? "ready" : "not in the group, draining, or failed");
}

static struct admin_page metrics(void)
{
    struct admin_page answer = {.status = 200, .type = "text/plain; version=0.0.4"};
    FILE *out = open_memstream(&answer.text, &answer.size);
    metrics_print(out);
    labelled_metrics_print(out);
    held_back_print(out);
    loop_turns_print(out);
    fclose(out);
    return answer;
}

struct admin_page admin_page_of(const struct admin_probes *probes, const char *path)
{
    return strcmp(path, "/healthz") == 0   ? healthz(probes)
           : strcmp(path, "/readyz") == 0  ? readyz(probes)
           : strcmp(path, "/metrics") == 0 ? metrics()
                                           : admin_page_plain(404, "there are /healthz, /readyz and /metrics");
}
