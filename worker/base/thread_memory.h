/* Gives back memory that a thread which only waits doesn't need. Thread: the caller's own memory alone. Never fails: what can't be given back stays.
 * Linux and glibc; under sanitizers, which keep their own state there, nothing is given back. */
#ifndef CHAT_BASE_THREAD_MEMORY_H
#define CHAT_BASE_THREAD_MEMORY_H

#include <stddef.h>

/* The whole pages of the calling thread's zero-initialised thread-local storage. Only as a thread's first act: glibc has just zeroed them
 * (which is what made them resident), and dropped pages read as zero again, so no code sees a difference. librdkafka alone has 15 KiB
 * there, which a pool thread never uses: at 5,000 threads that is 60 MiB. Returns the bytes given back. */
size_t thread_memory_trim(void);

/* The pages of the calling thread's stack below the caller's frame, which calls that went deeper and have returned have left there. It costs a few system
 * calls, and a page fault for each page that is needed again: before a long wait, after what is rarely done. Not in a signal handler, nor on an alternate
 * signal stack. Returns the bytes of address space below, which are resident no more; 0: none, as in the main thread. */
size_t thread_memory_trim_stack(void);

#endif
