/* A name service controlled by a test: preloaded, it answers getaddrinfo from the file that CHAT_TEST_NAMES names, read anew each
 * time, a line for each name:
 *
 *   model.test 127.0.0.1,::1    its addresses
 *   model.test fail AGAIN       none: EAI_AGAIN, or NONAME
 *   model.test hold             no answer until the line changes
 *
 * Each look-up appends a line to FILE.asked when it begins. Other names are passed to the real getaddrinfo. */
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef int lookup(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static lookup *real_lookup(void)
{
    lookup *real;
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return real;
}

static void note(const char *names, const char *name)
{
    char path[512], line[300];
    snprintf(path, sizeof path, "%s.asked", names);
    int size = snprintf(line, sizeof line, "%s\n", name);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line, (size_t)size) < 0)
        abort();
    close(fd);
}

/* Reads the file's line for name; false: there is none. */
static int say(const char *names, const char *name, char answer[256])
{
    char line[512], of[256];
    int found = 0;
    FILE *in = fopen(names, "re");
    while (in != NULL && !found && fgets(line, sizeof line, in) != NULL)
        found = sscanf(line, "%255s %255[^\n]", of, answer) == 2 && strcasecmp(of, name) == 0;
    if (in != NULL)
        fclose(in);
    return found;
}

/* Lists of glibc's, an address each, may be put together: it frees them one by one. */
static int addresses(char *text, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
    struct addrinfo plain = hints != NULL ? *hints : (struct addrinfo){.ai_family = AF_UNSPEC};
    plain.ai_flags |= AI_NUMERICHOST;
    *ret = NULL;
    for (char *one = strtok(text, ","); one != NULL; one = strtok(NULL, ",")) {
        struct addrinfo **end = ret;
        while (*end != NULL)
            end = &(*end)->ai_next;
        if (real_lookup()(one, service, &plain, end) != 0)
            abort();
    }
    return *ret != NULL ? 0 : EAI_NONAME;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
    const char *names = getenv("CHAT_TEST_NAMES");
    char answer[256];
    if (names == NULL || name == NULL || !say(names, name, answer))
        return real_lookup()(name, service, hints, ret);
    note(names, name);
    while (say(names, name, answer) && strcmp(answer, "hold") == 0)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    if (strncmp(answer, "fail ", 5) == 0)
        return strcmp(answer + 5, "NONAME") == 0 ? EAI_NONAME : EAI_AGAIN;
    return addresses(answer, service, hints, ret);
}
