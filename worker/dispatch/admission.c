#include "dispatch/admission.h"

enum admission_class admission_class_of(int64_t crashes)
{
    return crashes <= CRASHES_FREE_MAX ? ADMIT_FREE : crashes == CRASHES_FREE_MAX + 1 ? ADMIT_FEW : ADMIT_ALONE;
}

void admission_init(struct admission *admission, size_t threads)
{
    *admission = (struct admission){.bound = ADMISSION_UNBOUNDED};
    while ((admission->few + 1) * (admission->few + 1) <= threads) /* the square root, rounded down */
        admission->few++;
}

/* Jobs past their deadline only get an error reply: they don't count as running beside a suspect. */
static size_t others(const struct admission *admission)
{
    return admission->running[ADMIT_FEW] + admission->running[ADMIT_ALONE] + admission->running[ADMIT_FREE];
}

bool admission_allows(const struct admission *admission, enum admission_class class)
{
    size_t running = others(admission);
    if (class == ADMIT_EXPIRED)
        return true;
    if (running >= admission->bound || admission->running[ADMIT_ALONE] > 0)
        return false;
    if (class == ADMIT_ALONE)
        return running == 0;
    if (class == ADMIT_FEW || admission->running[ADMIT_FEW] > 0)
        return running <= admission->few;
    return true;
}

bool admission_is_free(const struct admission *admission)
{
    return admission->bound == ADMISSION_UNBOUNDED && admission->running[ADMIT_FEW] + admission->running[ADMIT_ALONE] == 0;
}
