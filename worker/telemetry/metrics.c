#include "telemetry/metrics.h"

_Atomic int64_t metric_values[METRIC_COUNT];

void metrics_print(FILE *out)
{
    static const struct {
        const char *name, *type, *help;
    } table[METRIC_COUNT] = {
#define METRIC_ROW(name, type, help) {#name, type, help},
        METRICS(METRIC_ROW)
#undef METRIC_ROW
    };
    for (int i = 0; i < METRIC_COUNT; i++)
        fprintf(out, "# HELP chat_%s %s\n# TYPE chat_%s %s\nchat_%s %lld\n", table[i].name, table[i].help, table[i].name,
                table[i].type, table[i].name, (long long)metric_get((enum metric)i));
}
