/* A question to several providers: any events in any order, compared with a model in plain code (tests/lib/question_model.h). */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "../lib/question_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *why = question_model_play(data, size);
    if (why != NULL) {
        fprintf(stderr, "doesn't hold: %s\n", why);
        abort();
    }
    return 0;
}
