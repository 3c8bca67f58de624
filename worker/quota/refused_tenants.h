/* The tenants whose budget refused a question recently: for chat_held_back{reason="budget"}, which counts them. A tenant is removed when a question
 * of it is admitted again, or its day ends. At most REFUSED_TENANTS_MAX are kept. Any thread; a mutex held briefly. */
#ifndef CHAT_QUOTA_REFUSED_TENANTS_H
#define CHAT_QUOTA_REFUSED_TENANTS_H

#include <stdint.h>

#define REFUSED_TENANTS_MAX 100

/* day_ends_ms: clock_mono_ms. */
void refused_tenants_add(const char *tenant, int64_t day_ends_ms);
void refused_tenants_remove(const char *tenant);
/* Removes tenants whose day has ended. Timekeeper. */
void refused_tenants_look(int64_t now_ms);

#endif
