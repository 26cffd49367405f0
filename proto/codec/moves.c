/* moves: what encode.c does with each of many structs, worked out once. See moves.h. */
#include "proto/codec/moves.h"

#include "proto/bytes/varint.h"

#include <string.h>

static void add_number(struct kf__moves *moves, struct kf__move **end, size_t place, size_t size)
{
    struct kf__move *move = *end > moves->items ? *end - 1 : NULL;
    if (!moves->shuffles) {
        *(*end)++ = (struct kf__move){
            .kind = KF__MOVE_NUMBER,
            .place = (uint16_t)place,
            .turn = kf__is_little_endian() ? (uint8_t)(size * 8 % 64) : 0,
            .bytes = (uint8_t)size,
        };
        return;
    }
    if (!move || move->kind != KF__MOVE_SHUFFLED ||
        place + size > move->place + (size_t)KF__SHUFFLED) {
        move = (*end)++;
        *move = (struct kf__move){.kind = KF__MOVE_SHUFFLED, .place = (uint16_t)place};
        memset(moves->orders[move - moves->items], 0, KF__SHUFFLED);
    }
    uint8_t *order = moves->orders[move - moves->items];
    for (size_t byte = size; byte > 0; byte--)
        order[move->bytes++] = (uint8_t)(place - move->place + byte - 1);
}

static void add_numbers(struct kf__moves *moves, struct kf__move **end, const struct kf__step *step)
{
    size_t size = kf__shapes[step->row->type].wire;
    for (size_t i = 0; i < step->times; i++)
        add_number(moves, end, step->place + i * size, size);
}

static void add_value(struct kf__moves *moves, struct kf__move **end, const struct kf__step *step)
{
    static const uint8_t kinds[] = {
        [KF__STEP_UUID] = KF__MOVE_UUID,   [KF__STEP_INT32S] = KF__MOVE_INT32S,
        [KF__STEP_BYTES] = KF__MOVE_BYTES, [KF__STEP_ARRAY] = KF__MOVE_ARRAY,
        [KF__STEP_VALUE] = KF__MOVE_VALUE,
    };
    enum {
        MOST_TIMES = 8
    };
    uint8_t kind = kinds[step->kind];
    bool repeats = kind == KF__MOVE_INT32S || kind == KF__MOVE_BYTES;
    struct kf__move *last = *end > moves->items ? *end - 1 : NULL;
    if (repeats && last && last->kind == kind && last->times < MOST_TIMES &&
        step->row == last->row + last->times) {
        last->nullable |= (uint8_t)(step->nullable << last->times++);
        return;
    }
    *(*end)++ = (struct kf__move){
        .row = step->row,
        .place = step->place,
        .kind = kind,
        .times = 1,
        .nullable = step->nullable,
    };
}

static void make(struct kf__moves *moves, const struct kf__struct *type, int16_t version,
                 bool flexible, bool many)
{
    _Static_assert(sizeof(struct kf_tags) >= sizeof(uint64_t), "behind all that is read as one");
    const struct kf__plan *plan = &moves->plan;
    struct kf__move *end = moves->items;
    kf__plan_make(&moves->plan, type, version, flexible);
    moves->many = many;
    moves->shuffles = many && sizeof(struct kf_tags) >= KF__SHUFFLED && kf__can_shuffle();
    for (const struct kf__step *step = plan->steps; step->kind != KF__STEP_END; step++) {
        if (step->kind < KF__STEP_UUID)
            add_numbers(moves, &end, step);
        else
            add_value(moves, &end, step);
    }
    *end = (struct kf__move){.kind = KF__MOVE_END};
    moves->room = plan->room + (size_t)KF__SHUFFLED;
    moves->size = plan->type->size;
    moves->tags = plan->type->size - sizeof(struct kf_tags);
    moves->others = plan->others < kf__others_end(plan);
    moves->flexible = flexible;
}

const struct kf__moves *kf__moves_of(const struct kf__struct *type, int16_t version, bool flexible,
                                     bool many, struct kf__moves *own)
{
    static struct kf__kept kept;
    static struct kf__moves moves[KF__KEPT];
    const struct kf__kept_key key = {type, version, flexible, many};
    int number = kf__kept_find(&kept, &key);
    if (number >= 0)
        return &moves[number];
    number = kf__kept_add(&kept, &key);
    struct kf__moves *made = number >= 0 ? &moves[number] : own;
    make(made, type, version, flexible, many);
    if (number >= 0)
        kf__kept_show(&kept, number);
    return made;
}
