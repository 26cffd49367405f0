#include "tools/broker/server/twins.h"

#include "tools/broker/text.h"

#include <stdlib.h>

static bool are_twins(const struct kf__named *one, const struct kf__named *other)
{
    return one->kind == other->kind && kf__text_equal(one->text, other->text);
}

static int in_order(const void *a, const void *b)
{
    const struct kf__named *one = a, *other = b;
    int order = (one->kind > other->kind) - (one->kind < other->kind);
    if (order == 0)
        order = kf__text_compare(one->text, other->text);
    return order != 0 ? order : one->index - other->index;
}

char *kf__mark_twins(kf_arena *arena, struct kf__named *names, int32_t count)
{
    char *marks = kf_arena_alloc(arena, (size_t)count + 1);
    if (!marks)
        return NULL;
    memset(marks, KF__ONCE, (size_t)count);
    for (int32_t i = 0; i < count; i++)
        names[i].index = i;
    if (count > 1) /* qsort wants an array */
        qsort(names, (size_t)count, sizeof *names, in_order);
    for (int32_t i = 1; i < count; i++) {
        if (!are_twins(&names[i - 1], &names[i]))
            continue;
        if (marks[names[i - 1].index] == KF__ONCE)
            marks[names[i - 1].index] = KF__FIRST_OF_TWINS;
        marks[names[i].index] = KF__TWIN_AGAIN;
    }
    return marks;
}
