#include "tools/broker/group/topic_regex.h"

#include "tools/broker/group/topic_regex_program.h"

static kf_err open_lists(struct kf__regex *regex)
{
    size_t count = (size_t)regex->count;
    regex->now = kf_alloc(regex->alloc, count * sizeof *regex->now);
    regex->then = kf_alloc(regex->alloc, count * sizeof *regex->then);
    regex->stack = kf_alloc(regex->alloc, 2 * count * sizeof *regex->stack);
    regex->seen = kf_alloc(regex->alloc, count * sizeof *regex->seen);
    return regex->now && regex->then && regex->stack && regex->seen ? KF_OK : KF_ERR_NO_MEMORY;
}

kf_err kf__regex_compile(const kf_allocator *alloc, kf_string text, struct kf__regex **regex,
                         const char **why)
{
    *regex = kf_alloc_zero(alloc, sizeof **regex);
    *why = "out of memory";
    if (!*regex)
        return KF_ERR_NO_MEMORY;
    (*regex)->alloc = alloc;
    kf_err err = kf__regex_parse(*regex, text, why);
    if (!err)
        err = open_lists(*regex);
    if (err) {
        kf__regex_free(*regex);
        *regex = NULL;
    }
    return err;
}

void kf__regex_free(struct kf__regex *regex)
{
    if (!regex)
        return;
    kf_free(regex->alloc, regex->states);
    kf_free(regex->alloc, regex->now);
    kf_free(regex->alloc, regex->then);
    kf_free(regex->alloc, regex->stack);
    kf_free(regex->alloc, regex->seen);
    kf_free(regex->alloc, regex);
}

/* ---- matching ---- */

static bool is_word_at(kf_string name, int32_t at)
{
    if (at < 0 || (size_t)at >= name.size)
        return false;
    char c = name.data[at];
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

/* May one pass this state here? */
static bool holds(enum kf__regex_op op, kf_string name, int32_t at)
{
    switch (op) {
    case KF__REGEX_BEGIN:
        return at == 0;
    case KF__REGEX_END:
        return (size_t)at == name.size;
    case KF__REGEX_EDGE:
        return is_word_at(name, at - 1) != is_word_at(name, at);
    case KF__REGEX_INSIDE:
        return is_word_at(name, at - 1) == is_word_at(name, at);
    default:
        return true;
    }
}

/* Puts on the state and all that follow from it without a letter. */
static void put_on(struct kf__regex *regex, int32_t start, kf_string name, int32_t at,
                   int32_t *list, int32_t *count, int64_t *steps)
{
    int32_t depth = 0;
    regex->stack[depth++] = start;
    while (depth > 0) {
        int32_t index = regex->stack[--depth];
        const struct kf__regex_state *state = &regex->states[index];
        if (regex->seen[index] == at)
            continue;
        regex->seen[index] = at;
        --*steps;
        if (state->op == KF__REGEX_SET || state->op == KF__REGEX_MATCH) {
            list[(*count)++] = index;
            continue;
        }
        if (!holds(state->op, name, at))
            continue;
        regex->stack[depth++] = state->next;
        if (state->op == KF__REGEX_SPLIT)
            regex->stack[depth++] = state->other;
    }
}

bool kf__regex_matches(struct kf__regex *regex, kf_string name, int64_t *steps)
{
    int32_t count = 0, length = (int32_t)name.size;
    for (int32_t i = 0; i < regex->count; i++)
        regex->seen[i] = -1;
    put_on(regex, 0, name, 0, regex->now, &count, steps);
    for (int32_t at = 0; at < length && count > 0 && *steps > 0; at++) {
        int32_t *then = regex->then, next_count = 0;
        for (int32_t i = 0; i < count; i++) {
            const struct kf__regex_state *state = &regex->states[regex->now[i]];
            if (state->op == KF__REGEX_SET &&
                kf__regex_has(&state->set, (unsigned char)name.data[at]))
                put_on(regex, state->next, name, at + 1, then, &next_count, steps);
        }
        *steps -= count;
        regex->then = regex->now;
        regex->now = then;
        count = next_count;
    }
    for (int32_t i = 0; i < count && *steps > 0; i++)
        if (regex->states[regex->now[i]].op == KF__REGEX_MATCH)
            return true;
    return false;
}
