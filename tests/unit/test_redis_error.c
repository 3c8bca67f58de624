/* Error replies of real servers: Redis 6.2.14, 7.0.15 and 8.0, Valkey 8.1.8 and 9.1.2. */
#include <criterion/criterion.h>
#include <string.h>

#include "redis/redis_error.h"

#define IN_62 "ERR Error running script (call to f_4270da3d6466ad1aabc16c309799b3b1b7d62a96): "
#define AT_62 "@user_script:1: @user_script: 1: "
#define BEHIND_70 " script: 4270da3d6466ad1aabc16c309799b3b1b7d62a96, on @user_script:1."
#define BEHIND_91 " script: on @user_script:1."

static const struct {
    enum redis_error_kind kind;
    const char *text;
} replies[] = {
    {REDIS_ERROR_OUTAGE, IN_62 AT_62 "-READONLY You can't write against a read only replica."},
    {REDIS_ERROR_OUTAGE, IN_62 AT_62 "-OOM command not allowed when used memory > 'maxmemory'."},
    {REDIS_ERROR_OUTAGE, IN_62 AT_62 "-NOREPLICAS Not enough good replicas to write."},
    {REDIS_ERROR_OUTAGE, IN_62 AT_62 "-MISCONF Redis is configured to save RDB snapshots, but it is currently not able to persist on disk."},
    {REDIS_ERROR_OUTAGE, IN_62 "@user_script:1: Script killed by user with SCRIPT KILL..."},
    {REDIS_ERROR_OUTAGE, "READONLY You can't write against a read only replica."},
    {REDIS_ERROR_OUTAGE, "READONLY You can't write against a read only replica." BEHIND_70},
    {REDIS_ERROR_OUTAGE, "READONLY You can't write against a read only replica." BEHIND_91},
    {REDIS_ERROR_OUTAGE, "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."},
    {REDIS_ERROR_OUTAGE, "OOM command not allowed when used memory > 'maxmemory'." BEHIND_70},
    {REDIS_ERROR_OUTAGE, "NOREPLICAS Not enough good replicas to write." BEHIND_91},
    {REDIS_ERROR_OUTAGE, "MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist to disk." BEHIND_91},
    {REDIS_ERROR_OUTAGE, "LOADING Redis is loading the dataset in memory"},
    {REDIS_ERROR_OUTAGE, "LOADING Valkey is loading the dataset in memory"},
    {REDIS_ERROR_OUTAGE, "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."},
    {REDIS_ERROR_OUTAGE, "ERR Script killed by user with SCRIPT KILL." BEHIND_91},
    {REDIS_ERROR_OUTAGE, "CLUSTERDOWN Hash slot not served"},
    {REDIS_ERROR_OUTAGE, "ERR max number of clients reached"},
    {REDIS_ERROR_OUTAGE, "TRYAGAIN Multiple keys request during rehashing of slot"},

    {REDIS_ERROR_SETTINGS, IN_62 AT_62 "The user executing the script can't run this command or subcommand"},
    {REDIS_ERROR_SETTINGS, IN_62 AT_62 "The user executing the script can't access at least one of the keys mentioned in the command arguments"},
    {REDIS_ERROR_SETTINGS, "ERR The user executing the script can't run this command or subcommand" BEHIND_70},
    {REDIS_ERROR_SETTINGS, "ERR ACL failure in script: User app has no permissions to run the 'time' command" BEHIND_91},
    {REDIS_ERROR_SETTINGS, "ERR ACL failure in script: No permissions to access a key" BEHIND_91},
    {REDIS_ERROR_SETTINGS, "NOPERM this user has no permissions to run the 'evalsha' command or its subcommand"},
    {REDIS_ERROR_SETTINGS, "NOPERM User u5 has no permissions to run the 'script|load' command"},
    {REDIS_ERROR_SETTINGS, "NOPERM No permissions to access a key"},
    {REDIS_ERROR_SETTINGS, "NOAUTH Authentication required."},
    {REDIS_ERROR_SETTINGS, "ERR Protocol error: unauthenticated multibulk length"},
    {REDIS_ERROR_SETTINGS, "WRONGPASS invalid username-password pair or user is disabled."},
    {REDIS_ERROR_SETTINGS, "ERR unknown command `EVALSHA`, with args beginning with: `4270`, `1`, `chat:{x}:job:x`, "},
    {REDIS_ERROR_SETTINGS, "ERR unknown command 'EVALSHA', with args beginning with: '4270' '1' 'chat:{OOM}:job:x' "},
    {REDIS_ERROR_SETTINGS, IN_62 AT_62 "Unknown Redis command called from Lua script"},
    {REDIS_ERROR_SETTINGS, "ERR Unknown Redis command called from script" BEHIND_70},
    {REDIS_ERROR_SETTINGS, "ERR Unknown command called from script" BEHIND_91},
    {REDIS_ERROR_SETTINGS, "ERR Wrong number of args calling command from script" BEHIND_91},
    {REDIS_ERROR_SETTINGS, "MOVED 3999 127.0.0.1:6381"},

    {REDIS_ERROR_SCRIPT_LOST, "NOSCRIPT No matching script. Please use EVAL."},
    {REDIS_ERROR_SCRIPT_LOST, "NOSCRIPT No matching script."},

    {REDIS_ERROR_DATA, IN_62 "@user_script:1: WRONGTYPE Operation against a key holding the wrong kind of value"},
    {REDIS_ERROR_DATA, "WRONGTYPE Operation against a key holding the wrong kind of value" BEHIND_70},
    {REDIS_ERROR_DATA, IN_62 "@user_script:1: user_script:1: attempt to perform arithmetic on local 'a' (a nil value)"},
    {REDIS_ERROR_DATA, "ERR user_script:1: attempt to compare nil with number" BEHIND_91},
    {REDIS_ERROR_DATA, IN_62 "@user_script:1: ERR hash value is not an integer"},
    {REDIS_ERROR_DATA, "ERR hash value is not an integer" BEHIND_70},
    {REDIS_ERROR_DATA, "PERMIT a key of permits holds something else"},
    {REDIS_ERROR_DATA, "BUDGET a budget's hash holds something else"},

    {REDIS_ERROR_UNKNOWN, "ERR something that a later version says"},
    {REDIS_ERROR_UNKNOWN, "NEWCODE that nobody knows yet"},
    {REDIS_ERROR_UNKNOWN, "CLOCK the worker's clock and Redis' are more than a day apart"},
    {REDIS_ERROR_UNKNOWN, ""},
};

Test(redis_error, a_reply_is_known_wherever_its_code_stands)
{
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++)
        cr_expect(redis_error_kind(replies[i].text) == replies[i].kind, "%s: %d", replies[i].text, redis_error_kind(replies[i].text));
}

Test(redis_error, only_what_our_keys_hold_ends_a_job)
{
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        struct error err;
        cr_expect(redis_error_set(&err, "redis:6379", "begin", replies[i].text) == STATUS_FAILED);
        cr_expect((err.class == ERROR_PERMANENT) == (replies[i].kind == REDIS_ERROR_DATA), "%s", replies[i].text);
        cr_expect(err.class == ERROR_PERMANENT || err.class == ERROR_UNAVAILABLE);
    }
}

Test(redis_error, a_code_inside_another_word_is_none)
{
    cr_expect(redis_error_kind("ERR ROOM or TASK or BUSYBOX or OOMPH") == REDIS_ERROR_UNKNOWN);
}

Test(redis_error, the_message_says_where_what_and_what_to_do)
{
    struct error err;
    (void)redis_error_set(&err, "redis:6379", "finish", replies[1].text);
    cr_expect_str_eq(err.message, "Redis redis:6379, script finish: OOM command not allowed when used memory > 'maxmemory'. "
                                  "(it is full: raise maxmemory, or shorten redis.reply_ttl_s)");
    cr_expect_str_eq(err.code, REDIS_CODE_OUTAGE);
    (void)redis_error_set(&err, "redis:6379", NULL, "NOPERM User app has no permissions to run the 'set' command");
    cr_expect(strstr(err.message, "--check-config --connect"), "%s", err.message);
}

Test(redis_error, a_commands_arguments_are_not_told)
{
    struct error err;
    (void)redis_error_set(&err, "redis:6379", NULL, "ERR unknown command 'EVALSHA', with args beginning with: '42' '1' 'chat:{secret}:job:x' ");
    cr_expect_not(strstr(err.message, "secret"), "%s", err.message);
}
