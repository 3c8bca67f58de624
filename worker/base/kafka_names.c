#include "base/kafka_names.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/edit_distance.h"

/* A row of librdkafka's table is "name   | C/P | range | ..."; NULL: another line. */
static const char *name_of_row(char *line)
{
    char *end = line + strcspn(line, " ");
    const char *column = end + strspn(end, " ");
    if (end == line || *end == '\0' || *column != '|')
        return NULL;
    *end = '\0';
    return line;
}

/* A part of a name is near, too: "servers" is, "brokers" isn't. */
static size_t distance_of(const char *name, const char *known)
{
    size_t far = edit_distance(name, known);
    return far > 1 && strlen(name) > 4 && strstr(known, name) != NULL ? 1 : far;
}

bool kafka_names_nearest(void (*show)(FILE *out), const char *name, char ret[64])
{
    AUTO_FREE char *table = NULL;
    size_t size = 0, best = strlen(name) < 8 ? 3 : 4; /* not this far */
    bool found = false;
    FILE *out = open_memstream(&table, &size);
    if (out == NULL)
        return false;
    show(out);
    fclose(out);
    char *rest = table;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        const char *known = name_of_row(line);
        size_t far = known != NULL ? distance_of(name, known) : best;
        if (far >= best)
            continue;
        best = far;
        found = true;
        snprintf(ret, 64, "%s", known);
    }
    return found;
}
