/*
 * dissect_walk: nodes, regions and numbers: what the dissector's other files
 * are written with.
 */
#include "proto/dissect/dissect_walk.h"

#include <stdio.h>

static void emit(struct kf__dissector *d, kf_node_kind kind, const uint8_t *at, size_t size,
                 const char *name, const char *type)
{
    kf_dissection *facts = d->facts;
    if (kind == KF_NODE_FIELD && d->space == 0)
        facts->explained += size;
    if (kind == KF_NODE_UNKNOWN)
        facts->undecoded += size;
    if (kind == KF_NODE_PROBLEM && facts->problems++ == 0) {
        facts->problem_at = (size_t)(at - d->base);
        snprintf(facts->problem, sizeof facts->problem, "%s%s%.*s", name, *name ? ": " : "",
                 (int)d->text.used, d->text.bytes);
    }
    if (d->visit) {
        d->text.bytes[d->text.used] = '\0';
        kf_node node = {
            .kind = kind,
            .empty = size == 1 && name[0] == '_' && strcmp(d->text.bytes, "none") == 0,
            .depth = d->depth,
            .space = d->space,
            .offset = (size_t)(at - d->base),
            .size = size,
            .bytes = at,
            .name = name,
            .type = type,
            .value = d->text.bytes,
            .secret = d->secret,
        };
        d->visit(&node, d->context);
    }
    facts->secrets += d->secret > 0;
    d->secret = 0;
    d->text.used = 0;
}

void kf__node_field(struct kf__dissector *d, const uint8_t *at, const char *name, const char *type)
{
    emit(d, KF_NODE_FIELD, at, (size_t)(d->in.at - at), name, type);
}

void kf__text_secret(struct kf__dissector *d, size_t size)
{
    d->secret = size;
    kf__text_add(&d->text, "%s(%zu bytes, not shown)", d->text.used ? " " : "", size);
}

void kf__node_enter(struct kf__dissector *d, const char *name, const char *type)
{
    emit(d, KF_NODE_GROUP, d->in.at, 0, name, type);
    d->depth++;
}

void kf__node_leave(struct kf__dissector *d) { d->depth--; }

void kf__node_note(struct kf__dissector *d, const char *name)
{
    emit(d, KF_NODE_NOTE, d->in.at, 0, name, "");
}

void kf__node_problem(struct kf__dissector *d, const uint8_t *at, const char *name)
{
    emit(d, KF_NODE_PROBLEM, at, 0, name, "");
}

void kf__node_fail(struct kf__dissector *d, const uint8_t *at, const char *name, kf_err err)
{
    d->stop = at;
    d->in.err = err;
    if (!d->inside && !d->facts->err)
        d->facts->err = err;
    kf__node_problem(d, at, name);
}

struct kf__outer kf__region_enter(struct kf__dissector *d, size_t size)
{
    struct kf__outer outer = {d->in, d->inside};
    outer.in.at += size;
    d->in.end = d->in.at + size;
    d->inside = true;
    return outer;
}

static void unknown(struct kf__dissector *d, const uint8_t *from)
{
    if (d->in.end > from)
        emit(d, KF_NODE_UNKNOWN, from, (size_t)(d->in.end - from), "unread", "");
}

void kf__region_leave(struct kf__dissector *d, struct kf__outer outer, const char *what)
{
    if (d->in.err) {
        unknown(d, d->stop);
    } else if (kf__left(&d->in)) {
        kf__text_add(&d->text, "%zu bytes are left over behind it", kf__left(&d->in));
        if (!d->inside && !d->facts->err)
            d->facts->err = KF_ERR_TRAILING_BYTES;
        kf__node_problem(d, d->in.at, what);
        unknown(d, d->in.at);
    }
    d->in = outer.in;
    d->inside = outer.inside;
}

const char *kf__int_type(unsigned bytes)
{
    return bytes == 1 ? "int8" : bytes == 2 ? "int16" : bytes == 4 ? "int32" : "int64";
}

int64_t kf__read_int(struct kf__dissector *d, const char *name, unsigned bytes)
{
    const uint8_t *at = d->in.at;
    if (d->in.err)
        return 0;
    if (kf__left(&d->in) < bytes) {
        kf__text_add(&d->text, "%s needs %u bytes, %zu are left", kf__int_type(bytes), bytes,
                     kf__left(&d->in));
        kf__node_fail(d, at, name, KF_ERR_TRUNCATED);
        return 0;
    }
    switch (bytes) {
    case 1:
        return kf__take_i8(&d->in);
    case 2:
        return kf__take_i16(&d->in);
    case 4:
        return kf__take_i32(&d->in);
    default:
        return kf__take_i64(&d->in);
    }
}

int64_t kf__field_int(struct kf__dissector *d, const char *name, unsigned bytes)
{
    const uint8_t *at = d->in.at;
    int64_t value = kf__read_int(d, name, bytes);
    if (d->in.err)
        return 0;
    kf__text_add(&d->text, "%lld", (long long)value);
    kf__node_field(d, at, name, kf__int_type(bytes));
    return value;
}

int64_t kf__read_varint(struct kf__dissector *d, const char *name, unsigned bits)
{
    const uint8_t *at = d->in.at;
    if (d->in.err)
        return 0;
    struct kf__cursor in = d->in;
    int64_t value = bits == 32 ? kf__take_varint32(&in) : kf__take_varint64(&in);
    if (in.err) {
        kf__text_add(&d->text,
                     in.err == KF_ERR_TRUNCATED ? "the bytes end within a varint"
                                                : "a varint of more than %u bits",
                     bits);
        kf__node_fail(d, at, name, in.err);
        return 0;
    }
    d->in = in;
    return value;
}

bool kf__name_ends_with(const char *name, const char *end)
{
    size_t length = strlen(name), tail = strlen(end);
    return length >= tail && strcmp(name + length - tail, end) == 0;
}
