#include "base/thread_memory.h"

#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* Sanitizers keep their own state in thread-local storage, used before a thread's first line. */
#ifdef CHAT_SANITIZED

size_t thread_memory_trim(void)
{
    return 0;
}

size_t thread_memory_trim_stack(void)
{
    return 0;
}

#else

/* More than the frames of thread_memory_trim_stack and of madvise, which are in use while pages are dropped. */
#define OWN_FRAMES_BYTES 1024

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

/* Not inlined: the frame address is then its own. */
__attribute__((noinline)) size_t thread_memory_trim_stack(void)
{
    pthread_attr_t attr;
    void *lowest = NULL;
    size_t size = 0;
    if (gettid() == getpid()) /* the kernel grows the main thread's, and its bounds are in /proc */
        return 0;
    if (pthread_getattr_np(pthread_self(), &attr) != 0)
        return 0;
    pthread_attr_getstack(&attr, &lowest, &size);
    pthread_attr_destroy(&attr);
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = ((uintptr_t)lowest + page - 1) & ~(page - 1);
    uintptr_t end = ((uintptr_t)__builtin_frame_address(0) - OWN_FRAMES_BYTES) & ~(page - 1);
    return begin < end && madvise((void *)begin, end - begin, MADV_DONTNEED) == 0 ? end - begin : 0;
}

#endif
