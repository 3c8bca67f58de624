/* What must hold across settings, once each has its value. Private to settings/.
 *
 * settings_check asks all of these; a refusal names where the setting was given, the setting, and what would be valid. It quotes no secret.
 * settings_check.c itself holds what is said of single settings: what can't be left out, and how long Redis may take. Pure. */
#ifndef CHAT_SETTINGS_SETTINGS_CHECK_H
#define CHAT_SETTINGS_SETTINGS_CHECK_H

#include "settings/settings_source.h"
#include "settings/settings_table.h"

/* Puts the named sections into their order, and what follows from others into its place, too. */
enum status settings_check(struct settings *settings, const struct settings_entries *entries, struct error *err) MUST_CHECK;

/* ---- its parts, a file each ---- */

/* Names that Kafka takes, and no topic that would feed on itself. */
enum status settings_check_topics(const struct settings *settings, const struct settings_entries *entries, struct error *err) MUST_CHECK;
/* What would undo the guarantee of worker.delivery. */
enum status settings_check_delivery(const struct settings *settings, const struct settings_entries *entries, struct error *err) MUST_CHECK;
/* Who is asked, where, with what; reads provider.NAME.headers. */
enum status settings_check_providers(struct settings *settings, const struct settings_entries *entries, struct error *err) MUST_CHECK;
/* What is fetched, where, and the prompts it goes into. */
enum status settings_check_contexts(struct settings *settings, const struct settings_entries *entries, struct error *err) MUST_CHECK;

/* ---- what those two share: settings_check_named.c ---- */

#define SETTINGS_PROVIDERS (&named_sections[0])
#define SETTINGS_CONTEXTS (&named_sections[1])

/* Is there a section of this name? *ret: its index. */
bool settings_check_named(const struct named_sections *named, const struct settings *settings, const char *name, size_t *ret);
/* Brings those that llm.KEY names to the front, in its order: an index says then who is asked, and when. *ret_count: how many it names. FAILED: it
 * names one that isn't there (what: the settings such a section needs), or one twice. */
enum status settings_check_order(const struct named_sections *named, struct settings *settings, char *const *names, const char *key, const char *what,
                                 const char *where, size_t *ret_count, struct error *err) MUST_CHECK;
/* What goes into a request's line or headers must not be able to end them. NULL: false. */
bool settings_check_has_control(const char *text);
/* White space around a key is none of it, as around any header's value (RFC 9110, 5.5): servers take it off, and echo what is left, which is to
 * be known then as the secret. Nothing left: NULL, there is no key. */
void settings_check_trim_key(char **key);
/* What stands behind http:// or https://; NULL: it begins with neither. */
const char *settings_check_after_scheme(const char *url);

#endif
