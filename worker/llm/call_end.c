#include "llm/call_end.h"

enum call_end call_end_of(const struct llm_failure *failure)
{
    return failure->kind == FAILURE_RATE || failure->kind == FAILURE_OVERLOAD ? CALL_OVERLOADED : CALL_FAILED;
}
