/* Preloaded into a worker, stops one of its threads, which a signal can't: the thread whose name is in the file that
 * CHAT_TEST_STOPPED names blocks at its next call of clock_gettime (by our own code, not a library's, which may hold a lock then), as long as
 * the name is in the file. For a fault that a test can't cause from outside: a thread without progress. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int is_to_stop(const char *file)
{
    char named[64] = "", own[16] = "";
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t size = read(fd, named, sizeof named - 1);
    close(fd);
    if (size <= 0)
        return 0;
    named[strcspn(named, "\n")] = '\0';
    prctl(PR_GET_NAME, own, 0, 0, 0);
    return strcmp(named, own) == 0;
}

/* The test may wait until the thread stands: FILE.stands is there from then on. */
static void say_that_it_stands(const char *file)
{
    char name[4096];
    if (snprintf(name, sizeof name, "%s.stands", file) < (int)sizeof name) {
        int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd >= 0)
            close(fd);
    }
}

static int is_ours(const void *caller)
{
    Dl_info info;
    return dladdr(caller, &info) != 0 && strstr(info.dli_fname, ".so") == NULL;
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
    const char *file = getenv("CHAT_TEST_STOPPED");
    for (int stands = 0; file != NULL && is_to_stop(file) && is_ours(__builtin_return_address(0)); stands = 1) {
        if (!stands)
            say_that_it_stands(file);
        usleep(10000);
    }
    return (int)syscall(SYS_clock_gettime, clock, ret);
}
