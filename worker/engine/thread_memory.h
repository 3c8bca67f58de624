/* Frees memory that a pool thread doesn't need. */
#ifndef CHAT_ENGINE_THREAD_MEMORY_H
#define CHAT_ENGINE_THREAD_MEMORY_H

#include <stddef.h>

/* Gives back the whole pages of the calling thread's zero-initialised thread-local storage. Only as a thread's
 * first act: glibc has just zeroed them (which is what made them resident), and dropped pages read as zero again,
 * so no code sees a difference. librdkafka alone has 15 KiB there, which a pool thread never uses: at
 * 5,000 threads that is 60 MiB. Returns the bytes given back. Linux and glibc; elsewhere it does nothing. */
size_t thread_memory_trim(void);

#endif
