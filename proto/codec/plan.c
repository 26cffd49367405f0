/* plan: see plan.h. */
#include "proto/codec/plan.h"

static enum kf__step_kind kind_of(const struct kf__row *row, int16_t version, bool flexible)
{
    static const uint8_t kinds[KF__TYPES] = {
        [KF__boolean] = KF__STEP_BOOLEAN, [KF__int8] = KF__STEP_8,
        [KF__int16] = KF__STEP_16,        [KF__uint16] = KF__STEP_16,
        [KF__int32] = KF__STEP_32,        [KF__uint32] = KF__STEP_32,
        [KF__int64] = KF__STEP_64,        [KF__float64] = KF__STEP_64,
        [KF__uuid] = KF__STEP_UUID,       [KF__str] = KF__STEP_BYTES,
        [KF__bytes] = KF__STEP_BYTES,     [KF__records] = KF__STEP_BYTES,
        [KF__struct] = KF__STEP_VALUE,    [KF__struct_pointer] = KF__STEP_VALUE,
        [KF__none] = KF__STEP_DROPPED,
    };
    if (!kf__in_version(row, version))
        return row->ignorable ? KF__STEP_DROPPED : KF__STEP_ABSENT;
    if (row->tag)
        return KF__STEP_TAGGED;
    enum kf__step_kind kind = (enum kf__step_kind)kinds[row->type];
    if (row->array)
        kind = row->type == KF__int32 ? KF__STEP_INT32S : KF__STEP_ARRAY;
    bool short_way = flexible && !row->never_compact;
    return kind <= KF__STEP_UUID || short_way ? kind : KF__STEP_VALUE;
}

/* Whether the value is one more of the step's, right behind them in the C struct. */
static bool is_next_of(const struct kf__step *step, enum kf__step_kind kind, size_t place)
{
    size_t size = kind == KF__STEP_32 ? sizeof(int32_t) : sizeof(int64_t);
    return (kind == KF__STEP_32 || kind == KF__STEP_64) && step->kind == kind &&
           place == step->place + size * step->times;
}

struct planner {
    struct kf__plan *plan;
    struct kf__step *end; /* of the steps so far */
    struct kf__step *run; /* fixed values that stand together are there only together */
};

static void add_step(struct planner *p, const struct kf__row *row, enum kf__step_kind kind,
                     size_t place, bool nullable)
{
    bool fixed = kind <= KF__STEP_UUID;
    bool has_length = !fixed && kind < KF__STEP_VALUE;
    unsigned wire = fixed ? kf__shapes[row->type].wire : has_length;
    p->plan->room = (uint16_t)(p->plan->room + wire + (has_length ? KF__SHORT_LENGTH : 0));
    if (!fixed || !p->run)
        p->run = p->end;
    if (p->end > p->run && is_next_of(p->end - 1, kind, place))
        p->end[-1].times++;
    else
        *p->end++ = (struct kf__step){row, (uint16_t)place, 0, (uint8_t)kind, 1, nullable};
    p->run->least = (uint16_t)(p->run->least + wire);
    if (!fixed)
        p->run = NULL;
}

void kf__plan_make(struct kf__plan *plan, const struct kf__struct *type, int16_t version,
                   bool flexible)
{
    struct planner p = {plan, plan->steps, NULL};
    struct kf__step *other = plan->steps + KF__MOST_ROWS + 1;
    const struct kf__row *row = kf__rows_of(type);
    size_t at = 0, first_other = 0, others_end = 0;
    plan->room = 1;
    for (const struct kf__row *end = row + type->count; row < end; row++) {
        size_t place = kf__place(row, &at);
        enum kf__step_kind kind = kind_of(row, version, flexible);
        if (kind < KF__STEP_END) {
            add_step(&p, row, kind, place, kf__nullable(row, version));
            continue;
        }
        *--other = (struct kf__step){.row = row, .place = (uint16_t)place, .kind = (uint8_t)kind};
        if (!others_end)
            first_other = place;
        others_end = at;
    }
    *p.end = (struct kf__step){.kind = KF__STEP_END, .least = flexible};
    plan->type = type;
    plan->least = kf__min_wire_size(type, version, flexible);
    plan->others = other;
    plan->others_place = (uint16_t)first_other;
    plan->others_size = (uint16_t)(others_end - first_other);
}

const struct kf__plan *kf__plan_of(const struct kf__struct *type, int16_t version, bool flexible,
                                   struct kf__plan *own)
{
    static struct kf__kept kept;
    static struct kf__plan plans[KF__KEPT];
    const struct kf__kept_key key = {type, version, flexible, false};
    int number = kf__kept_find(&kept, &key);
    if (number >= 0)
        return &plans[number];
    number = kf__kept_add(&kept, &key);
    struct kf__plan *plan = number >= 0 ? &plans[number] : own;
    kf__plan_make(plan, type, version, flexible);
    if (number >= 0)
        kf__kept_show(&kept, number);
    return plan;
}
