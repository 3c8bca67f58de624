/* The notes of a crashing process, and how the next one uses them. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "telemetry/crash_notes.h"

static char folder[] = "/tmp/chat-notes.XXXXXX";
static char file[64];

static void set_up(void)
{
    cr_assert_not_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/crashes", folder);
    log_configure(LOG_ERROR, LOG_LOGFMT);
}

static void tear_down(void)
{
    unlink(file);
    rmdir(folder);
}

TestSuite(crash_notes, .init = set_up, .fini = tear_down);

static struct record at(char *topic, int64_t offset, int64_t timestamp_ms)
{
    return (struct record){.topic = topic, .partition = 3, .offset = offset, .timestamp_ms = timestamp_ms};
}

static struct crash_notes *open_notes(void)
{
    struct crash_notes *notes = NULL;
    struct error err = {0};
    cr_assert_eq(crash_notes_open(file, &notes, &err), STATUS_OK, "%s", err.message);
    return notes;
}

/* Forks a process that crashes by the signal while working on the record; returns the signal it ended with. */
static int crash(int number, enum crash_doing doing, const struct record *record)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit no_core = {0};
        setrlimit(RLIMIT_CORE, &no_core);
        for (int i = 1; i < NSIG; i++) /* not Criterion's reports */
            signal(i, SIG_DFL);
        (void)open_notes();
        crash_notes_doing(doing, record);
        if (number == SIGABRT)
            abort();
        raise(number);
        _exit(0);
    }
    int status = 0;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

Test(crash_notes, a_record_that_killed_the_decoder_is_counted_by_place_and_time)
{
    static const int numbers[] = {SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE};
    char topic[] = "chat.jobs", other[] = "chat.others";
    struct record poison = at(topic, 1234567890123, 1700000000000);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        cr_expect_eq(crash(numbers[i], DOING_DECODING, &poison), numbers[i], "the signal still ends the process");
        struct crash_notes *notes = open_notes();
        cr_expect_eq(crash_notes_decoding(notes, &poison), (int)i + 1);
        struct record later = at(topic, 1234567890124, 1700000000000), again = at(topic, 1234567890123, 1700000000001),
                      elsewhere = at(other, 1234567890123, 1700000000000);
        cr_expect_eq(crash_notes_decoding(notes, &later), 0);
        cr_expect_eq(crash_notes_decoding(notes, &again), 0, "a topic made anew begins at 0 again");
        cr_expect_eq(crash_notes_decoding(notes, &elsewhere), 0);
        crash_notes_close(notes);
    }
}

Test(crash_notes, a_crash_in_a_journey_or_without_a_record_counts_for_no_decoding)
{
    char topic[] = "chat.jobs";
    struct record record = at(topic, 7, -1);
    crash(SIGSEGV, DOING_JOURNEY, &record);
    crash(SIGSEGV, DOING_NOTHING, NULL);
    struct crash_notes *notes = open_notes();
    cr_expect_eq(crash_notes_decoding(notes, &record), 0);
    crash_notes_close(notes);
}

Test(crash_notes, what_is_no_note_is_dropped)
{
    char topic[] = "t";
    struct record record = at(topic, 5, 6);
    FILE *out = fopen(file, "w");
    fputs("\n11 decoding t 3 5 6\nnonsense\n11 decoding t 3 5\n", out);
    for (int i = 0; i < 1000; i++)
        fputc('x', out);
    fclose(out);
    for (int life = 0; life < 2; life++) { /* kept for the next one, too */
        struct crash_notes *notes = open_notes();
        cr_expect_eq(crash_notes_decoding(notes, &record), 1);
        crash_notes_close(notes);
    }
}

Test(crash_notes, many_notes_stay_bounded_and_the_newest_are_kept)
{
    char topic[] = "t";
    FILE *out = fopen(file, "w");
    for (int i = 0; i < 5000; i++)
        fprintf(out, "11 decoding t 3 %d 6\n", i);
    fclose(out);
    crash_notes_close(open_notes());
    struct crash_notes *notes = open_notes();
    struct record oldest = at(topic, 0, 6), newest = at(topic, 4999, 6);
    cr_expect_eq(crash_notes_decoding(notes, &oldest), 0);
    cr_expect_eq(crash_notes_decoding(notes, &newest), 1);
    crash_notes_close(notes);
}

Test(crash_notes, a_file_is_one_process_s_at_a_time)
{
    struct crash_notes *notes = open_notes(), *second = NULL;
    struct error err = {0};
    cr_expect_eq(crash_notes_open(file, &second, &err), STATUS_FAILED);
    cr_expect_eq(err.class, ERROR_PERMANENT);
    cr_expect_not_null(strstr(err.message, file));
    crash_notes_close(notes);
    cr_expect_eq(crash_notes_open("/nowhere/crashes", &second, &err), STATUS_FAILED);
    cr_expect_not_null(strstr(err.message, "worker.crash_file"));
}

Test(crash_notes, without_a_file_nothing_is_noted)
{
    struct crash_notes *notes = (struct crash_notes *)folder;
    struct error err = {0};
    char topic[] = "t";
    struct record record = at(topic, 1, 1);
    cr_assert_eq(crash_notes_open(NULL, &notes, &err), STATUS_OK);
    cr_expect_null(notes);
    cr_expect_eq(crash_notes_decoding(notes, &record), 0);
    crash_notes_close(notes);
}
