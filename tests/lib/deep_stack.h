/* Whether the pages of a stack below the frames in use are resident. */
#ifndef CHAT_TESTS_DEEP_STACK_H
#define CHAT_TESTS_DEEP_STACK_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEEP_STACK_BYTES 100000

/* Has a frame that is larger than any of the worker's; returns an address in it, which is in no frame afterwards. */
__attribute__((noinline, unused)) static uintptr_t deep_stack_touch(void)
{
    char room[DEEP_STACK_BYTES];
    uintptr_t address = (uintptr_t)room;
    memset(room, 1, sizeof room);
    __asm__ volatile("" : "+r"(address) : : "memory"); /* else the compiler leaves it out */
    return address;
}

static inline bool deep_stack_is_resident(uintptr_t address)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    unsigned char resident = 0;
    return mincore((void *)(address & ~(page - 1)), page, &resident) == 0 && (resident & 1) != 0;
}

#endif
