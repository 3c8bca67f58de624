#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define BAR_WIDTH 30
#define REDRAW_MS 100

struct progress progress_start(const char *label, int64_t total, bool wanted)
{
    return (struct progress){
        .label = label, .total = total, .started_ms = clock_mono_ms(), .shown = wanted && isatty(STDERR_FILENO)};
}

void progress_update(struct progress *progress, int64_t done, int64_t count)
{
    int64_t now = clock_mono_ms();
    if (!progress->shown || now - progress->drawn_ms < REDRAW_MS)
        return;
    progress->drawn_ms = now;
    double seconds = (double)(now - progress->started_ms) / 1000.0;
    double rate = seconds > 0 ? (double)count / seconds : 0;
    if (progress->total <= 0) {
        fprintf(stderr, "\r\033[K%s %" PRId64 " records, %.0f/s", progress->label, count, rate);
    } else {
        double part = (double)done / (double)progress->total;
        int filled = part >= 1 ? BAR_WIDTH : (int)(part * BAR_WIDTH);
        char bar[BAR_WIDTH + 1];
        memset(bar, '.', BAR_WIDTH);
        memset(bar, '#', (size_t)filled);
        bar[BAR_WIDTH] = '\0';
        fprintf(stderr, "\r\033[K%s [%s] %3.0f %%  %" PRId64 " records, %.0f/s", progress->label, bar,
                part >= 1 ? 100.0 : part * 100, count, rate);
    }
    fflush(stderr);
}

void progress_end(struct progress *progress)
{
    if (progress->shown && progress->drawn_ms != 0)
        fputs("\r\033[K", stderr);
    progress->drawn_ms = 0;
}
