/* The log's lines, as they arrive on stderr. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"

static int read_end;

/* From now on stderr is a pipe, which holds what a test writes. */
static void begin(enum log_level level, enum log_format format)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    cr_assert_geq(dup2(ends[1], STDERR_FILENO), 0);
    close(ends[1]);
    read_end = ends[0];
    log_configure(level, format);
}

/* The next line without its end. */
static void take_line(char *line, size_t size)
{
    for (size_t i = 0; i < size - 1 && read(read_end, line + i, 1) == 1; i++)
        if (line[i] == '\n') {
            line[i] = '\0';
            return;
        }
    cr_assert_fail("a line without an end");
}

#define AT "2026-11-23T10:00:00.007Z"
#define AT_S 1795428000

/* What the wall clock says, for the log in this program. */
static struct timespec wall = {.tv_sec = AT_S, .tv_nsec = 7999999};

int clock_gettime(clockid_t clock, struct timespec *ret)
{
    if (clock != CLOCK_REALTIME)
        return (int)syscall(SYS_clock_gettime, clock, ret);
    *ret = wall;
    return 0;
}

Test(log, writes_logfmt)
{
    char line[8192];
    begin(LOG_INFO, LOG_LOGFMT);
    log_debug("hidden");
    log_info("job_done", F_STR("job", "j-1"), F_INT("offset", -17), F_INT("most", INT64_MAX), F_REAL("share", 0.5), F_STR("none", NULL));
    log_error("quoted", F_STR("a", "two words"), F_STR("b", "x=\"y\"\\\n\x01"), F_STR("c", "gr\xC3\xBC\xC3\x9F"));
    take_line(line, sizeof line);
    cr_expect_str_eq(line, "ts=" AT " level=info event=job_done job=j-1 offset=-17 most=9223372036854775807 share=0.500 none=\"\"");
    take_line(line, sizeof line);
    cr_expect_str_eq(line, "ts=" AT " level=error event=quoted a=\"two words\" b=\"x=\\\"y\\\"\\\\\\n\\u0001\" c=\"gr\xC3\xBC\xC3\x9F\"");
}

Test(log, writes_json)
{
    char line[8192];
    begin(LOG_DEBUG, LOG_JSON);
    log_debug("job_done", F_STR("job", "a \"b\""), F_INT("offset", 0), F_REAL("share", -1.25));
    take_line(line, sizeof line);
    cr_expect_str_eq(line, "{\"ts\":\"" AT "\",\"level\":\"debug\",\"event\":\"job_done\",\"job\":\"a \\\"b\\\"\",\"offset\":0,\"share\":-1.250}");
}

Test(log, bounds_values_and_lines)
{
    char line[8192], value[1024];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    begin(LOG_INFO, LOG_LOGFMT);
    log_info("long", F_STR("a", value), F_STR("b", "end"));
    log_info("longer", F_STR("a", value), F_STR("b", value), F_STR("c", value), F_STR("d", value), F_STR("e", value), F_STR("f", value), F_STR("g", value), F_STR("h", value),
             F_INT("number", 1));
    take_line(line, sizeof line);
    cr_expect_not_null(strstr(line, "v\" b=end"), "%s", line);
    cr_expect_eq(strspn(strstr(line, "a=\"") + 3, "v"), 512);
    take_line(line, sizeof line);
    cr_expect_eq(strlen(line), 4000, "%zu", strlen(line));
}

Test(log, a_line_has_its_own_second)
{
    char line[8192];
    begin(LOG_INFO, LOG_LOGFMT);
    log_info("first");
    wall = (struct timespec){.tv_sec = AT_S + 3600, .tv_nsec = 999000000};
    log_info("second");
    take_line(line, sizeof line);
    cr_expect_str_eq(line, "ts=" AT " level=info event=first");
    take_line(line, sizeof line);
    cr_expect_str_eq(line, "ts=2026-11-23T11:00:00.999Z level=info event=second");
}
