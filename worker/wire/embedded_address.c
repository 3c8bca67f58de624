#include "wire/embedded_address.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"

char *embedded_address_folder(void)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (runtime != NULL && runtime[0] == '/')
        return xasprintf("%s/chat-worker", runtime);
    return xasprintf("/tmp/chat-worker-%u", (unsigned)getuid());
}

static enum status must_be_private(const char *folder, struct error *err)
{
    struct stat found;
    if (lstat(folder, &found) != 0)
        return error_set(err, ERROR_UNAVAILABLE, "no_embedded_cluster",
                         "no broker given and no worker with an embedded one runs; use --bootstrap, or start chat-worker -X kafka.bootstrap.servers=embedded");
    if (!S_ISDIR(found.st_mode) || found.st_uid != getuid() || (found.st_mode & 077) != 0)
        return error_set(err, ERROR_PERMANENT, "folder_not_private", "%s must be a folder of ours with mode 0700; remove it, or set XDG_RUNTIME_DIR", folder);
    return STATUS_OK;
}

enum status embedded_address_read(char **ret, struct error *err)
{
    AUTO_FREE char *folder = embedded_address_folder();
    AUTO_FREE char *path = xasprintf("%s/bootstrap", folder);
    char line[512];
    if (must_be_private(folder, err) != STATUS_OK)
        return STATUS_FAILED;
    FILE *in = fopen(path, "r");
    bool got = in != NULL && fgets(line, sizeof line, in) != NULL;
    if (in != NULL)
        fclose(in);
    if (!got)
        return error_set(err, ERROR_UNAVAILABLE, "no_embedded_cluster",
                         "no broker given and no worker with an embedded one runs; use --bootstrap, or start chat-worker -X kafka.bootstrap.servers=embedded");
    line[strcspn(line, "\n")] = '\0';
    *ret = xstrdup(line);
    return STATUS_OK;
}

static char *published; /* the address that this process wrote; the worker publishes and withdraws it on its main thread */

static enum status folder_failed(const char *folder, struct error *err)
{
    return error_set(err, ERROR_PERMANENT, "embedded_address", "%s can't be made: %s", folder, strerror(errno));
}

enum status embedded_address_check(struct error *err)
{
    AUTO_FREE char *folder = embedded_address_folder();
    if (mkdir(folder, 0700) == 0) {
        rmdir(folder);
        return STATUS_OK;
    }
    return errno == EEXIST ? must_be_private(folder, err) : folder_failed(folder, err);
}

enum status embedded_address_publish(const char *bootstrap, struct error *err)
{
    AUTO_FREE char *folder = embedded_address_folder();
    AUTO_FREE char *path = xasprintf("%s/bootstrap", folder);
    AUTO_FREE char *part = xasprintf("%s/.bootstrap.%ld", folder, (long)getpid());
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return folder_failed(folder, err);
    if (must_be_private(folder, err) != STATUS_OK)
        return STATUS_FAILED;
    FILE *out = fopen(part, "w");
    bool written = out != NULL && fprintf(out, "%s\n", bootstrap) > 0;
    if (out != NULL)
        written = fclose(out) == 0 && written;
    if (!written || rename(part, path) != 0) {
        error_set(err, ERROR_PERMANENT, "embedded_address", "%s can't be written: %s", path, strerror(errno));
        unlink(part);
        return STATUS_FAILED;
    }
    free(published);
    published = xstrdup(bootstrap);
    return STATUS_OK;
}

/* If a worker that started later has written its own address there, that one stays. */
void embedded_address_withdraw(void)
{
    AUTO_FREE char *folder = embedded_address_folder();
    AUTO_FREE char *path = xasprintf("%s/bootstrap", folder);
    AUTO_FREE char *found = NULL;
    AUTO_FREE char *ours = steal_ptr(&published);
    if (ours == NULL || embedded_address_read(&found, NULL) != STATUS_OK || strcmp(found, ours) != 0)
        return;
    unlink(path);
    rmdir(folder);
}
