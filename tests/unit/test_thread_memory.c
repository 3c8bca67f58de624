/* What a thread gives back of its memory. */
#include <criterion/criterion.h>
#include <pthread.h>

#include "../lib/deep_stack.h"
#include "base/thread_memory.h"

#ifndef CHAT_SANITIZED /* where nothing is given back */

#define KEPT_BYTES 3000

static void *trim(void *arg)
{
    char kept[KEPT_BYTES];
    (void)arg;
    memset(kept, 'k', sizeof kept);
    for (int i = 0; i < 2; i++) {
        uintptr_t deep = deep_stack_touch();
        cr_assert(deep_stack_is_resident(deep));
        cr_expect_gt(thread_memory_trim_stack(), DEEP_STACK_BYTES / 2);
        cr_expect_not(deep_stack_is_resident(deep));
        for (size_t at = 0; at < sizeof kept; at++)
            cr_assert_eq(kept[at], 'k', "the caller's own frame stays");
    }
    return NULL;
}

Test(thread_memory, the_stack_below_the_caller_is_given_back_and_can_be_used_again)
{
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, trim, NULL), 0);
    pthread_join(thread, NULL);
}

Test(thread_memory, the_main_threads_stack_stays)
{
    uintptr_t deep = deep_stack_touch();
    cr_expect_eq(thread_memory_trim_stack(), 0);
    cr_expect(deep_stack_is_resident(deep));
}

#else

Test(thread_memory, under_sanitizers_nothing_is_given_back)
{
    cr_expect_eq(thread_memory_trim_stack(), 0);
}

#endif
