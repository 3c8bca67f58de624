#include "intake/stuck_rules.h"

bool stuck_rules_excuse(const struct head_view *view)
{
    switch (view->state) {
    case HEAD_SUSPECT:
    case HEAD_TIMER:
    case HEAD_REFUSED:
        return true;
    case HEAD_LANE:
    case HEAD_LINE:
    case HEAD_READY:
        return view->redis_is_away || view->is_held_back;
    case HEAD_TELLING:
    case HEAD_ENDING:
        return view->redis_is_away;
    case HEAD_RUNNING:
        break;
    }
    return false;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

bool stuck_rules_is_stuck(const struct head_view *view, int64_t bound_ms, int64_t call_ms)
{
    if (stuck_rules_excuse(view))
        return false;
    switch (view->state) {
    case HEAD_RUNNING:
        return view->running_ms >= bound_ms + call_ms;
    case HEAD_TELLING:
        return view->in_state_ms >= bound_ms + STUCK_ACKNOWLEDGE_MS;
    case HEAD_ENDING:
        return least(view->in_state_ms, view->broker_answers_ms) >= bound_ms + STUCK_ACKNOWLEDGE_MS;
    default:
        return least(view->in_state_ms, view->still_ms) >= bound_ms + call_ms;
    }
}
