/* outbox_rows: see outbox_rows.h. */
#include "runtime/outbox/outbox_rows.h"

#include <string.h>

/* ---- aggregates ---- */

static uint32_t mix(uint32_t hash, kf_string text)
{
    for (size_t i = 0; i < text.size; i++)
        hash = (hash ^ (uint8_t)text.data[i]) * 16777619u; /* FNV-1a */
    return (hash ^ 0x1f) * 16777619u;
}

static struct kf__outbox_aggregate **chain_of(struct kf__outbox_rows *rows,
                                              const kf_outbox_aggregate *name)
{
    uint32_t hash = mix(mix(2166136261u, name->type), name->id);
    return &rows->chains[hash % KF__OUTBOX_CHAINS];
}

static bool same(kf_string a, kf_string b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static struct kf__outbox_aggregate *find(struct kf__outbox_rows *rows,
                                         const kf_outbox_aggregate *name)
{
    for (struct kf__outbox_aggregate *at = *chain_of(rows, name); at; at = at->chain)
        if (same(at->name.id, name->id) && same(at->name.type, name->type))
            return at;
    return NULL;
}

/* Copies to *at, which moves on. */
static kf_string put(char **at, kf_string text)
{
    char *copy = *at;
    if (text.size)
        memcpy(copy, text.data, text.size);
    *at += text.size;
    return (kf_string){copy, text.size};
}

static struct kf__outbox_aggregate *add_aggregate(struct kf__outbox_rows *rows,
                                                  const kf_outbox_aggregate *name)
{
    struct kf__outbox_aggregate *aggregate =
        kf_alloc_zero(rows->alloc, sizeof *aggregate + name->type.size + name->id.size);
    if (!aggregate)
        return NULL;
    char *at = (char *)(aggregate + 1);
    aggregate->name.type = put(&at, name->type);
    aggregate->name.id = put(&at, name->id);
    aggregate->state = KF__OUTBOX_WAITING;
    struct kf__outbox_aggregate **chain = chain_of(rows, name);
    aggregate->chain = *chain;
    *chain = aggregate;
    aggregate->next = rows->all;
    if (rows->all)
        rows->all->previous = aggregate;
    rows->all = aggregate;
    rows->aggregates++;
    return aggregate;
}

void kf__outbox_rows_forget(struct kf__outbox_rows *rows, struct kf__outbox_aggregate *aggregate)
{
    struct kf__outbox_aggregate **at = chain_of(rows, &aggregate->name);
    while (*at != aggregate)
        at = &(*at)->chain;
    *at = aggregate->chain;
    if (aggregate->next)
        aggregate->next->previous = aggregate->previous;
    if (aggregate->previous)
        aggregate->previous->next = aggregate->next;
    else
        rows->all = aggregate->next;
    rows->aggregates--;
    kf_free(rows->alloc, aggregate);
}

/* ---- rows ---- */

static size_t bytes_of(const kf_outbox_row *row, const char *topic)
{
    size_t size = sizeof(struct kf__outbox_row) + strlen(topic) + 1 + row->aggregate.type.size +
                  row->aggregate.id.size + row->event_id.size + row->event_type.size +
                  row->payload.size + (KF__OUTBOX_HEADERS + row->header_count) * sizeof(kf_header);
    for (size_t i = 0; i < row->header_count; i++)
        size += row->headers[i].name.size + row->headers[i].value.size;
    return size;
}

static kf_bytes put_bytes(char **at, kf_bytes bytes)
{
    kf_string copy = put(at, (kf_string){(const char *)bytes.data, bytes.size});
    return (kf_bytes){bytes.data ? (const uint8_t *)copy.data : NULL, copy.size};
}

static kf_header header_of(const char *name, kf_string value)
{
    return (kf_header){{name, strlen(name)}, {(const uint8_t *)value.data, value.size}};
}

/* Texts may be absent; a header's value then is empty, not null. */
static void copy_row(struct kf__outbox_row *into, const kf_outbox_row *row, const char *topic)
{
    kf_header *headers = (kf_header *)(into + 1);
    char *at = (char *)(headers + KF__OUTBOX_HEADERS + row->header_count);
    kf_outbox_row *own = &into->row;
    *own = *row;
    own->aggregate.type = put(&at, row->aggregate.type);
    own->aggregate.id = put(&at, row->aggregate.id);
    own->event_id = put(&at, row->event_id);
    own->event_type = put(&at, row->event_type);
    own->payload = put_bytes(&at, row->payload);
    headers[0] = header_of(KF_OUTBOX_EVENT_ID, own->event_id);
    headers[1] = header_of(KF_OUTBOX_EVENT_TYPE, own->event_type);
    headers[2] = header_of(KF_OUTBOX_AGGREGATE_ID, own->aggregate.id);
    headers[3] = header_of(KF_OUTBOX_AGGREGATE_TYPE, own->aggregate.type);
    for (size_t i = 0; i < row->header_count; i++) {
        kf_header *copy = &headers[KF__OUTBOX_HEADERS + i];
        copy->name = put(&at, row->headers[i].name);
        copy->value = put_bytes(&at, row->headers[i].value);
    }
    own->topic = put(&at, (kf_string){topic, strlen(topic) + 1}).data;
    own->headers = headers + KF__OUTBOX_HEADERS;
    into->headers = headers;
}

bool kf__outbox_leaves_out(const struct kf__outbox_aggregate *aggregate, uint64_t claim,
                           kf_time now)
{
    if (aggregate->state == KF__OUTBOX_WAITING)
        return aggregate->retry_at > now;
    return aggregate->claim != claim;
}

static void append(struct kf__outbox_rows *rows, struct kf__outbox_aggregate *aggregate,
                   struct kf__outbox_row *row)
{
    row->aggregate = aggregate;
    if (aggregate->first)
        aggregate->last->next = row;
    else
        aggregate->first = row;
    aggregate->last = row;
    aggregate->state = KF__OUTBOX_IN_HAND;
    rows->in_hand++;
}

kf_err kf__outbox_rows_add(struct kf__outbox_rows *rows, const kf_outbox_row *row,
                           const char *topic, uint64_t claim, kf_time now)
{
    struct kf__outbox_aggregate *aggregate = find(rows, &row->aggregate);
    if (!aggregate)
        aggregate = add_aggregate(rows, &row->aggregate);
    else if (kf__outbox_leaves_out(aggregate, claim, now))
        return KF_OK;
    struct kf__outbox_row *copy =
        aggregate ? kf_alloc_zero(rows->alloc, bytes_of(row, topic)) : NULL;
    if (!copy)
        return KF_ERR_NO_MEMORY;
    copy_row(copy, row, topic);
    aggregate->claim = claim;
    append(rows, aggregate, copy);
    return KF_OK;
}

struct kf__outbox_row *kf__outbox_rows_take(struct kf__outbox_rows *rows,
                                            struct kf__outbox_aggregate *aggregate)
{
    struct kf__outbox_row *row = aggregate->first;
    aggregate->first = row->next;
    aggregate->is_sent = false;
    row->next = NULL;
    rows->in_hand--;
    return row;
}

void kf__outbox_row_free(struct kf__outbox_rows *rows, struct kf__outbox_row *row)
{
    kf_free(rows->alloc, row);
}

void kf__outbox_rows_drop(struct kf__outbox_rows *rows, struct kf__outbox_aggregate *aggregate)
{
    while (aggregate->first)
        kf__outbox_row_free(rows, kf__outbox_rows_take(rows, aggregate));
}

void kf__outbox_rows_free(struct kf__outbox_rows *rows)
{
    while (rows->all) {
        struct kf__outbox_aggregate *aggregate = rows->all;
        kf__outbox_rows_drop(rows, aggregate);
        kf__outbox_rows_forget(rows, aggregate);
    }
}
