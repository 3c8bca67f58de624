#include "telemetry/labelled_metrics.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/alloc.h"
#include "base/mutex.h"

/* OpenTelemetry's advice for gen_ai.client.operation.duration: 0.01 s, doubled up to 81.92 s, and +Inf. */
#define BUCKETS 14
#define BUCKET_FIRST_US INT64_C(10000)

#define VALUE_SIZE (LABEL_BYTES_MAX + 1)
#define KEY_MAX (LABELS_MAX * VALUE_SIZE)

static const struct family {
    const char *name, *help;
    enum labelled_type type;
    const char *labels[LABELS_MAX];
} families[LABELLED_COUNT] = {
#define LABELS(...) {__VA_ARGS__}
#define LABELLED_ROW(id, metric_name, metric_type, metric_labels, metric_help) \
    [LABELLED_##id] = {.name = metric_name, .help = metric_help, .type = metric_type, .labels = LABELS metric_labels},
    LABELLED_METRICS(LABELLED_ROW)
#undef LABELLED_ROW
};

/* One combination of a family's values. */
struct series {
    UT_hash_handle hh;
    int64_t count; /* of a histogram: observations */
    int64_t sum_us;
    int64_t buckets[BUCKETS]; /* of each, not cumulative */
    char key[]; /* its values, each ended by a NUL */
};

/* A value of a label with values from outside; they are counted. */
struct known {
    UT_hash_handle hh;
    char value[VALUE_SIZE];
};

static struct mutex lock = {PTHREAD_MUTEX_INITIALIZER}; /* guards the two variables below */
static struct series *all[LABELLED_COUNT];
static struct known *tenants, *models, *members;

/* ---- values ---- */

/* Copies a value, cut at a character's end; returns the end behind its NUL. */
static char *copy_value(char *to, const char *value)
{
    size_t size = strnlen(value, LABEL_BYTES_MAX + 1);
    if (size > LABEL_BYTES_MAX)
        for (size = LABEL_BYTES_MAX; size > 0 && ((unsigned char)value[size] & 0xC0) == 0x80; size--) /* NOLINT(clang-analyzer-core.*): strnlen has read so far */
            ;
    memcpy(to, value, size);
    to[size] = '\0';
    return to + size + 1;
}

static size_t make_key(const struct family *family, const char *const *values, char key[KEY_MAX])
{
    char *end = key;
    for (size_t i = 0; i < LABELS_MAX && family->labels[i] != NULL; i++)
        end = copy_value(end, values[i] != NULL ? values[i] : "");
    return (size_t)(end - key);
}

/* May this value have its own series? Yes, if it is among the first LABEL_VALUES_MAX. */
static bool is_known_locked(struct known **set, const char *value)
{
    struct known *known;
    HASH_FIND_STR(*set, value, known);
    if (known != NULL)
        return true;
    if (HASH_COUNT(*set) >= LABEL_VALUES_MAX)
        return false;
    known = xcalloc(1, sizeof *known);
    copy_value(known->value, value);
    HASH_ADD_STR(*set, value, known);
    return true;
}

/* The key of a new series, with "other" for values beyond LABEL_VALUES_MAX. */
static size_t bound_key_locked(const struct family *family, const char key[KEY_MAX], char bound[KEY_MAX])
{
    char *end = bound;
    const char *value = key;
    for (size_t i = 0; i < LABELS_MAX && family->labels[i] != NULL; i++, value += strlen(value) + 1) {
        struct known **set = strcmp(family->labels[i], "tenant") == 0                  ? &tenants
                             : strcmp(family->labels[i], "gen_ai_response_model") == 0 ? &models
                             : strcmp(family->labels[i], "member") == 0                ? &members
                                                                                       : NULL;
        end = copy_value(end, set == NULL || is_known_locked(set, value) ? value : "other");
    }
    return (size_t)(end - bound);
}

static struct series *find_locked(enum labelled_metric metric, const char *const *values)
{
    char key[KEY_MAX], bound[KEY_MAX];
    struct series *series;
    size_t size = make_key(&families[metric], values, key);
    HASH_FIND(hh, all[metric], key, size, series);
    if (series != NULL)
        return series;
    size = bound_key_locked(&families[metric], key, bound);
    HASH_FIND(hh, all[metric], bound, size, series);
    if (series != NULL)
        return series;
    series = xcalloc(1, sizeof *series + size);
    memcpy(series->key, bound, size);
    HASH_ADD_KEYPTR(hh, all[metric], series->key, size, series);
    return series;
}

/* ---- counting ---- */

void labelled_add(enum labelled_metric metric, const char *const *values, int64_t by)
{
    mutex_lock(&lock);
    find_locked(metric, values)->count += by;
    mutex_unlock(&lock);
}

void labelled_observe_us(enum labelled_metric metric, const char *const *values, int64_t duration_us)
{
    int bucket = 0;
    while (bucket < BUCKETS && duration_us > BUCKET_FIRST_US << bucket)
        bucket++;
    mutex_lock(&lock);
    struct series *series = find_locked(metric, values);
    series->count++;
    series->sum_us += duration_us;
    if (bucket < BUCKETS)
        series->buckets[bucket]++;
    mutex_unlock(&lock);
}

/* ---- printing ---- */

static void print_value(FILE *out, const char *value)
{
    for (; *value != '\0'; value++) {
        if (*value == '\\' || *value == '"')
            fputc('\\', out);
        fputc((unsigned char)*value < 0x20 || *value == 0x7f ? '?' : *value, out);
    }
}

/* Without the closing brace, so that a bucket's bound can follow. */
static void print_labels(FILE *out, const struct family *family, const struct series *series)
{
    const char *value = series->key;
    for (size_t i = 0; i < LABELS_MAX && family->labels[i] != NULL; i++, value += strlen(value) + 1) {
        fprintf(out, "%s%s=\"", i == 0 ? "{" : ",", family->labels[i]);
        print_value(out, value);
        fputc('"', out);
    }
}

static void print_histogram(FILE *out, const struct family *family, const struct series *series)
{
    int64_t below = 0;
    for (int i = 0; i < BUCKETS; i++) {
        below += series->buckets[i];
        fprintf(out, "%s_bucket", family->name);
        print_labels(out, family, series);
        fprintf(out, ",le=\"%.2f\"} %" PRId64 "\n", (double)(BUCKET_FIRST_US << i) / 1e6, below);
    }
    fprintf(out, "%s_bucket", family->name);
    print_labels(out, family, series);
    fprintf(out, ",le=\"+Inf\"} %" PRId64 "\n%s_sum", series->count, family->name);
    print_labels(out, family, series);
    fprintf(out, "} %.6f\n%s_count", (double)series->sum_us / 1e6, family->name);
    print_labels(out, family, series);
    fprintf(out, "} %" PRId64 "\n", series->count);
}

static void print_family_locked(FILE *out, enum labelled_metric metric)
{
    const struct family *family = &families[metric];
    if (all[metric] == NULL)
        return;
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help, family->name,
            family->type == LABELLED_COUNTER ? "counter" : "histogram");
    for (const struct series *series = all[metric]; series != NULL; series = series->hh.next) {
        if (family->type == LABELLED_SECONDS) {
            print_histogram(out, family, series);
            continue;
        }
        fputs(family->name, out);
        print_labels(out, family, series);
        fprintf(out, "} %" PRId64 "\n", series->count);
    }
}

void labelled_metrics_print(FILE *out)
{
    mutex_lock(&lock);
    for (int i = 0; i < LABELLED_COUNT; i++)
        print_family_locked(out, (enum labelled_metric)i);
    mutex_unlock(&lock);
}

static void clear_known_locked(struct known **set)
{
    struct known *known, *next;
    HASH_ITER(hh, *set, known, next)
    {
        HASH_DELETE(hh, *set, known); /* NOLINT(clang-analyzer-unix.Malloc): uthash unlinks it first */
        free(known);
    }
}

void labelled_metrics_clear(void)
{
    struct series *series, *next;
    mutex_lock(&lock);
    for (int i = 0; i < LABELLED_COUNT; i++) {
        HASH_ITER(hh, all[i], series, next)
        {
            HASH_DELETE(hh, all[i], series); /* NOLINT(clang-analyzer-unix.Malloc): uthash unlinks it first */
            free(series);
        }
    }
    clear_known_locked(&tenants);
    clear_known_locked(&models);
    clear_known_locked(&members);
    mutex_unlock(&lock);
}
