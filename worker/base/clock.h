/* Time. Pure modules never call these: they take now_ms as an argument, so that tests own time. */
#ifndef CHAT_BASE_CLOCK_H
#define CHAT_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_mono_ms(void); /* CLOCK_MONOTONIC: for durations, deadlines and timers */
int64_t clock_mono_us(void);
int64_t clock_wall_ms(void); /* Unix time: only to compare with record timestamps and for logs */

#endif
