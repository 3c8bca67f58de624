#include "service/admin_pages.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "admin_files.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "service/lanes_json.h"
#include "service/threads_json.h"
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

static struct admin_page threads(void)
{
    struct admin_page answer = {.status = 200, .type = "application/json"};
    answer.text = threads_json(clock_mono_us(), &answer.size);
    return answer;
}

static struct admin_page lanes_json(const struct admin_request *request)
{
    struct json_writer out = {0};
    long long since_us;
    if (!admin_request_number(request, "since", 0, INT64_MAX, 0, &since_us))
        return admin_page_plain(400, "since: a number, the answer's now");
    lanes_json_write(&out, since_us, clock_mono_us());
    return (struct admin_page){.status = 200, .type = "application/json", .text = out.text, .size = out.size};
}

static const char *type_of(const char *name)
{
    const char *ending = strrchr(name, '.');
    return strcmp(ending, ".js") == 0 ? "text/javascript; charset=utf-8" : strcmp(ending, ".css") == 0 ? "text/css; charset=utf-8" : "text/html; charset=utf-8";
}

/* One of the files that the program carries (service/lanes/). */
static struct admin_page file(const char *name)
{
    for (size_t i = 0; i < sizeof admin_files / sizeof *admin_files; i++)
        if (strcmp(admin_files[i].name, name) == 0)
            return (struct admin_page){.status = 200, .type = type_of(name), .text = xstrdup(admin_files[i].text), .size = strlen(admin_files[i].text)};
    return admin_page_plain(404, "there are /healthz, /readyz and /metrics; /threads, /lanes, and POST /trace");
}

struct admin_page admin_page_of(const struct admin_probes *probes, const struct admin_request *request)
{
    const char *path = request->path;
    return strcmp(path, "/healthz") == 0      ? healthz(probes)
           : strcmp(path, "/readyz") == 0     ? readyz(probes)
           : strcmp(path, "/metrics") == 0    ? metrics()
           : strcmp(path, "/threads") == 0    ? threads()
           : strcmp(path, "/lanes.json") == 0 ? lanes_json(request)
                                              : file(strcmp(path, "/lanes") == 0 ? "lanes.html" : path + 1);
}

void admin_pages_look(void)
{
    lanes_json_look(clock_mono_us());
}
