#include "telemetry/crash_notes.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"

#define NOTES_MAX 256 /* the newest ones are kept */
#define TOPIC_MAX 250 /* Kafka's limit is 249 characters, none of them a space */
#define LINE_MAX_BYTES 384

/* A line: signal doing topic partition offset timestamp. */
struct note {
    int signal;
    char doing[16];
    char topic[TOPIC_MAX];
    int partition;
    long long offset, timestamp_ms;
};

struct crash_notes {
    int fd;
    struct note *items;
    size_t count;
};

static const int signals[] = {SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE};
#define SIGNALS (sizeof signals / sizeof *signals)
static const char *const names[] = {[DOING_NOTHING] = "nothing", [DOING_DECODING] = "decoding", [DOING_JOURNEY] = "journey"};

static struct sigaction before[SIGNALS]; /* the previous handlers: a sanitizer's, say */
static volatile sig_atomic_t note_fd = -1;
static _Thread_local enum crash_doing doing_now;
static _Thread_local const struct record *record_now;

void crash_notes_doing(enum crash_doing doing, const struct record *record)
{
    record_now = record;
    doing_now = doing;
}

/* ---- the handler: async-signal-safe calls only ---- */

struct line {
    char text[LINE_MAX_BYTES];
    size_t size;
};

static void put_text(struct line *line, const char *text)
{
    while (*text != '\0' && line->size < sizeof line->text)
        line->text[line->size++] = *text++;
}

static void put_number(struct line *line, long long number)
{
    char digits[24];
    size_t n = sizeof digits;
    unsigned long long rest = number < 0 ? 0ULL - (unsigned long long)number : (unsigned long long)number;
    digits[--n] = '\0';
    do
        digits[--n] = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (number < 0)
        digits[--n] = '-';
    put_text(line, digits + n);
    put_text(line, " ");
}

static void write_note(int number)
{
    const struct record *record = record_now;
    struct line line = {.size = 0};
    if (record == NULL || doing_now == DOING_NOTHING)
        return;
    put_number(&line, number);
    put_text(&line, names[doing_now]);
    put_text(&line, " ");
    put_text(&line, record->topic);
    put_text(&line, " ");
    put_number(&line, record->partition);
    put_number(&line, record->offset);
    put_number(&line, record->timestamp_ms);
    put_text(&line, "\n");
    if (write((int)note_fd, line.text, line.size) < 0)
        return; /* can't be reported here */
}

static void on_crash(int number, siginfo_t *info, void *context)
{
    (void)context;
    /* First restore the previous handlers: a fault in here must end the process as without us. */
    for (size_t i = 0; i < SIGNALS; i++)
        if (signals[i] == number)
            sigaction(number, &before[i], NULL);
    write_note(number);
    /* A fault is raised again when we return; a signal that was sent isn't. */
    if (info->si_code <= 0)
        raise(number);
}

static void install(int fd)
{
    struct sigaction action = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO};
    note_fd = fd;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < SIGNALS; i++)
        sigaction(signals[i], &action, &before[i]);
}

/* ---- the file ---- */

static bool is_same(const struct note *a, const struct note *b)
{
    return strcmp(a->doing, b->doing) == 0 && strcmp(a->topic, b->topic) == 0 && a->partition == b->partition && a->offset == b->offset &&
           a->timestamp_ms == b->timestamp_ms;
}

static void read_notes(struct crash_notes *notes, FILE *in)
{
    char line[LINE_MAX_BYTES + 2];
    size_t strange = 0;
    notes->items = xcalloc(NOTES_MAX, sizeof *notes->items);
    while (fgets(line, sizeof line, in) != NULL) {
        struct note note = {0};
        if (sscanf(line, "%d %15s %249s %d %lld %lld", &note.signal, note.doing, note.topic, &note.partition, &note.offset, &note.timestamp_ms) != 6) {
            strange++;
            continue;
        }
        if (notes->count == NOTES_MAX)
            memmove(notes->items, notes->items + 1, --notes->count * sizeof *notes->items);
        notes->items[notes->count++] = note;
    }
    if (strange > 0)
        log_warn("crash_file_strange", F_INT("lines", strange), F_STR("hint", "lines that are no notes of a crash are dropped"));
}

static int times_until(const struct crash_notes *notes, size_t end, const struct note *which)
{
    int times = 0;
    for (size_t i = 0; i < end; i++)
        times += is_same(&notes->items[i], which);
    return times;
}

static void report(const struct crash_notes *notes)
{
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        if (times_until(notes, i, note) > 0)
            continue;
        log_warn("crashed_before", F_STR("doing", note->doing), F_STR("signal", strsignal(note->signal)), F_STR("topic", note->topic),
                 F_INT("partition", note->partition), F_INT("offset", note->offset), F_INT("times", times_until(notes, notes->count, note)));
    }
}

/* Notes of journeys have been logged; those of decoding are kept and count. */
static void keep_decoding(struct crash_notes *notes, FILE *out)
{
    size_t kept = 0;
    for (size_t i = 0; i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        if (strcmp(note->doing, names[DOING_DECODING]) != 0)
            continue;
        fprintf(out, "%d %s %s %d %lld %lld\n", note->signal, note->doing, note->topic, note->partition, note->offset, note->timestamp_ms);
        notes->items[kept++] = *note;
    }
    notes->count = kept;
}

static enum status refuse(const char *file, const char *why, struct error *err)
{
    return error_set(err, ERROR_PERMANENT, "crash_file", "worker.crash_file: %s %s", file, why);
}

#define OPEN_FLAGS (O_RDWR | O_APPEND | O_CLOEXEC | O_NONBLOCK) /* a device must not block open */

enum status crash_notes_check(const char *file, struct error *err)
{
    if (file == NULL)
        return STATUS_OK;
    int fd = open(file, OPEN_FLAGS | O_CREAT | O_EXCL, 0600);
    if (fd >= 0)
        unlink(file); /* it didn't exist before */
    else if (errno == EEXIST)
        fd = open(file, OPEN_FLAGS);
    if (fd < 0)
        return refuse(file, strerror(errno), err);
    struct stat found;
    bool is_file = fstat(fd, &found) == 0 && S_ISREG(found.st_mode); /* reading a device or a pipe may have no end */
    close(fd);
    return is_file ? STATUS_OK : refuse(file, "is no regular file", err);
}

enum status crash_notes_open(const char *file, struct crash_notes **ret, struct error *err)
{
    *ret = NULL;
    if (file == NULL)
        return STATUS_OK;
    if (crash_notes_check(file, err) != STATUS_OK)
        return STATUS_FAILED;
    int fd = open(file, OPEN_FLAGS | O_CREAT, 0600);
    if (fd < 0)
        return refuse(file, strerror(errno), err);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return refuse(file, "is another worker's; give each its own", err);
    }
    struct crash_notes *notes = xcalloc(1, sizeof *notes);
    notes->fd = fd;
    FILE *stream = fdopen(dup(fd), "a+");
    if (stream == NULL)
        abort(); /* memory */
    rewind(stream);
    read_notes(notes, stream);
    report(notes);
    if (ftruncate(fd, 0) == 0)
        keep_decoding(notes, stream);
    if (fclose(stream) != 0) {
        enum status status = refuse(file, strerror(errno), err);
        crash_notes_close(notes);
        return status;
    }
    install(fd);
    *ret = notes;
    return STATUS_OK;
}

void crash_notes_close(struct crash_notes *notes)
{
    if (notes == NULL)
        return;
    if (note_fd == notes->fd) {
        for (size_t i = 0; i < SIGNALS; i++)
            sigaction(signals[i], &before[i], NULL);
        note_fd = -1;
    }
    close(notes->fd);
    free(notes->items);
    free(notes);
}

int crash_notes_decoding(const struct crash_notes *notes, const struct record *record)
{
    int times = 0;
    for (size_t i = 0; notes != NULL && i < notes->count; i++) {
        const struct note *note = &notes->items[i];
        times += note->offset == record->offset && note->partition == record->partition && note->timestamp_ms == record->timestamp_ms &&
                 strcmp(note->topic, record->topic) == 0;
    }
    return times;
}
