/* What the page /lanes draws: JSON of telemetry/steps.h. Shown of a job: its id, partition and offset. Admin thread; blocks never.
 *
 * /lanes.json?since=US, in numbers where it can, since there are thousands of bars:
 *
 *   now                       clock_mono_us; what to ask for next time as since
 *   began                     when this process did: another one numbers its bars anew, and on another machine its clock is another
 *   engine, lanes, alive      "threads" or "loop"; how many lanes; jobs in memory, those without a lane included
 *   steps, names, jobs        what the numbers below mean: names of steps; what is waited for; [partition, offset, id]
 *   on                        lanes that have a job, six numbers each: lane, step, wait (-1: none), job, and for how many us this step, and the job
 *   rings                     [ring, number of the first bar, bars]: bars that have ended since `since`, some of them once more; seven numbers each: bars since the one before
 *                             (more than 1: the ones between were lost), lane, step (+ 100: not the lane's time), wait, job, us before now of its end, length in us
 *
 * Whoever asks gets bars from then on: they are recorded for PAGE_LEASE_MS after each request. */
#ifndef CHAT_SERVICE_LANES_JSON_H
#define CHAT_SERVICE_LANES_JSON_H

#include <stdint.h>

#include "wire/json_writer.h"

#define PAGE_LEASE_MS 5000
#define PAGE_LOOKS_BACK_US 30000000 /* at most, however long ago `since` is */

/* now_us: clock_mono_us. */
void lanes_json_write(struct json_writer *out, int64_t since_us, int64_t now_us);
/* Ends the recording when nobody has asked for a while. Called now and then. */
void lanes_json_look(int64_t now_us);
#endif
