#include "engine/thread_memory.h"

#include <link.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* Sanitizers keep their own state in thread-local storage, used before a thread's first line. */
#ifdef CHAT_SANITIZED

size_t thread_memory_trim(void)
{
    return 0;
}

#else

static int trim_library(struct dl_phdr_info *info, size_t size, void *arg)
{
    size_t *trimmed = arg;
    (void)size;
    if (info->dlpi_tls_data == NULL)
        return 0;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type != PT_TLS)
            continue;
        uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
        uintptr_t begin = (uintptr_t)info->dlpi_tls_data + segment->p_filesz; /* after what has initial values */
        uintptr_t end = (uintptr_t)info->dlpi_tls_data + segment->p_memsz;
        begin = (begin + page - 1) & ~(page - 1);
        end &= ~(page - 1);
        if (begin < end && madvise((void *)begin, end - begin, MADV_DONTNEED) == 0)
            *trimmed += end - begin;
    }
    return 0;
}

size_t thread_memory_trim(void)
{
    size_t trimmed = 0;
    dl_iterate_phdr(trim_library, &trimmed);
    return trimmed;
}

#endif
