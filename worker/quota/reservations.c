#include "quota/reservations.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "llm/cost.h"

struct reservation *reservations_add(struct reservations *list, const struct reservation *reservation)
{
    list->items = xgrow(list->items, &list->capacity, list->count + 1, sizeof *list->items);
    list->items[list->count] = *reservation;
    return &list->items[list->count++];
}

struct reservation *reservations_waiting(const struct reservations *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].state == RESERVED_WAITS)
            return &list->items[i];
    return NULL;
}

bool reservations_ended(struct reservations *list, size_t provider, bool called, int64_t used_tokens)
{
    for (size_t i = 0; i < list->count; i++) {
        struct reservation *reservation = &list->items[i];
        if (reservation->state != RESERVED_CALLED || reservation->ended || reservation->provider != provider)
            continue;
        reservation->ended = true;
        reservation->state = called ? RESERVED_CALLED : RESERVED_UNUSED;
        reservation->used_tokens = used_tokens;
        return true;
    }
    return false;
}

void reservations_move(struct reservations *from, struct reservations *to, bool keep_waiting)
{
    size_t kept = 0;
    for (size_t i = 0; i < from->count; i++) {
        struct reservation *reservation = &from->items[i];
        if (reservation->state == RESERVED_WAITS && keep_waiting) {
            from->items[kept++] = *reservation;
            continue;
        }
        if (reservation->state == RESERVED_WAITS)
            reservation->state = RESERVED_UNUSED;
        reservations_add(to, reservation);
    }
    from->count = kept;
}

void reservations_finish(struct reservations *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].tenant);
    free(list->items);
    *list = (struct reservations){0};
}
