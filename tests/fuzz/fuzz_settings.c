/* Any bytes as a settings file: loaded, or refused with a message that names the file. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "settings/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[40];
    int fd = memfd_create("settings", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    static const char *const needed[] = {"kafka.bootstrap.servers=b:9092", "provider.main.url=http://h/v1", "provider.main.model=m", NULL};
    struct settings_sources sources = {.file = path, .overrides = size % 2 ? needed : NULL};
    struct settings *settings = NULL;
    struct error err = {0};
    if (settings_load(&sources, &settings, &err) == STATUS_OK)
        settings_destroy(settings);
    else if (err.message[0] == '\0')
        abort();
    close(fd);
    return 0;
}
