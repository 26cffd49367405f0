/* interceptors: see interceptors.h. */
#include "runtime/producer/interceptors.h"

#include <string.h>

/* What stands in the receipt's place until the record is told. */
struct intercepted {
    const struct kf__interceptors *interceptors;
    const kf_allocator *alloc;
    struct kf__receipt receipt; /* the caller's */
    const char *topic;          /* behind the tags */
    void *tags[];
};

kf_err kf__interceptors_add(struct kf__interceptors *interceptors,
                            const kf_interceptor *interceptor)
{
    if (interceptor->size != sizeof *interceptor || interceptors->count == KF__INTERCEPTORS_MAX)
        return KF_ERR_INVALID_ARGUMENT;
    interceptors->of[interceptors->count++] = *interceptor;
    return KF_OK;
}

/* ---- before sending ---- */

static void *copy_bytes(struct kf_sending *sending, const void *bytes, size_t size)
{
    void *copy = kf_arena_alloc(&sending->arena, size ? size : 1);
    if (copy && size)
        memcpy(copy, bytes, size);
    return copy;
}

static kf_err add_header(struct kf_sending *sending, kf_string name, kf_bytes value)
{
    kf_record *record = &sending->record;
    size_t count = record->header_count;
    kf_header *headers = kf_arena_alloc(&sending->arena, (count + 1) * sizeof *headers);
    char *own_name = copy_bytes(sending, name.data, name.size);
    uint8_t *own_value = value.data ? copy_bytes(sending, value.data, value.size) : NULL;
    if (!headers || !own_name || (value.data && !own_value))
        return KF_ERR_NO_MEMORY;
    if (count)
        memcpy(headers, record->headers, count * sizeof *headers);
    headers[count].name = (kf_string){own_name, name.size};
    headers[count].value = (kf_bytes){own_value, value.size};
    record->headers = headers;
    record->header_count = count + 1;
    return KF_OK;
}

kf_err kf_sending_header(kf_sending *sending, kf_string name, kf_bytes value)
{
    if (!name.data)
        return KF_ERR_INVALID_ARGUMENT;
    kf_err err = add_header(sending, name, value);
    if (err)
        sending->err = err;
    return err;
}

static void tell_interceptors(const struct intercepted *intercepted, const kf_delivery *delivery)
{
    const struct kf__interceptors *all = intercepted->interceptors;
    for (size_t i = 0; i < all->count; i++) {
        kf_acknowledged news = {
            .topic = intercepted->topic,
            .err = delivery->err,
            .fate = delivery->fate,
            .partition = delivery->partition,
            .offset = delivery->offset,
            .tag = intercepted->tags[i],
        };
        if (all->of[i].acknowledged)
            all->of[i].acknowledged(all->of[i].context, &news);
    }
}

static void take_verdict(void *context, const kf_delivery *delivery)
{
    struct intercepted *intercepted = context;
    struct kf__receipt receipt = intercepted->receipt;
    tell_interceptors(intercepted, delivery);
    kf_free(intercepted->alloc, intercepted);
    if (receipt.delivered)
        receipt.delivered(receipt.context, delivery);
}

static struct intercepted *new_intercepted(const struct kf__interceptors *interceptors,
                                           const kf_allocator *alloc, const char *topic,
                                           struct kf__receipt receipt)
{
    size_t tags = interceptors->count * sizeof(void *);
    size_t name = strlen(topic ? topic : "") + 1;
    struct intercepted *intercepted = kf_alloc_zero(alloc, sizeof *intercepted + tags + name);
    if (!intercepted)
        return NULL;
    char *own = (char *)intercepted->tags + tags;
    memcpy(own, topic ? topic : "", name);
    intercepted->interceptors = interceptors;
    intercepted->alloc = alloc;
    intercepted->receipt = receipt;
    intercepted->topic = own;
    return intercepted;
}

kf_err kf__sending_begin(struct kf_sending *sending, const struct kf__interceptors *interceptors,
                         const kf_allocator *alloc, const kf_record *record,
                         struct kf__receipt *receipt)
{
    *sending = (struct kf_sending){.record = *record};
    kf_arena_init(&sending->arena, alloc, 0);
    struct intercepted *intercepted = new_intercepted(interceptors, alloc, record->topic, *receipt);
    if (!intercepted)
        return KF_ERR_NO_MEMORY;
    *receipt = (struct kf__receipt){.delivered = take_verdict, .context = intercepted};
    for (size_t i = 0; i < interceptors->count; i++)
        if (interceptors->of[i].sending)
            interceptors->of[i].sending(interceptors->of[i].context, &sending->record, sending,
                                        &intercepted->tags[i]);
    if (!sending->err)
        return KF_OK;
    kf__sending_refused(*receipt, sending->err);
    return sending->err;
}

void kf__sending_refused(struct kf__receipt receipt, kf_err err)
{
    struct intercepted *intercepted = receipt.context;
    intercepted->receipt.delivered = NULL;
    kf_delivery delivery = {
        .err = err,
        .fate = KF_NOT_STORED,
        .partition = -1,
        .count = 1,
        .offset = -1,
        .timestamp = -1,
        .topic = intercepted->topic,
    };
    take_verdict(intercepted, &delivery);
}

void kf__sending_end(struct kf_sending *sending) { kf_arena_free(&sending->arena); }
