/*
 * relay: frames cut out of two streams, each opened, shown and closed again.
 * Remembers which API and version the client asked for, oldest first, because
 * an answer doesn't say. Called by proxies; does no I/O.
 */
#include "proto/bytes/cursor.h"
#include "proto/bytes/writer.h"
#include "proto/codec/frame.h"

#include <kafiber/relay.h>

enum {
    LARGEST_FRAME = 1 << 30, /* bytes; Kafka's own answers are smaller than 2^31 */
    MOST_ASKED = 1 << 16,    /* requests without an answer; the oldest is forgotten */
};

struct asked {
    int32_t correlation_id;
    int16_t version;
    const kf_schema *request;
};

struct kf_relay {
    const kf_allocator *alloc;
    kf_relay_visit *visit;
    void *context;
    kf_writer waiting[2]; /* bytes of frames that are not complete, by side */
    struct asked *asked;
    size_t asked_count;
    size_t asked_room;
    kf_arena arena;
};

kf_relay *kf_relay_open(const kf_allocator *alloc, kf_relay_visit *visit, void *context)
{
    kf_relay *relay = kf_alloc(alloc, sizeof *relay);
    if (!relay)
        return NULL;
    *relay = (kf_relay){.alloc = alloc, .visit = visit, .context = context};
    kf_writer_init(&relay->waiting[KF_FROM_CLIENT], alloc);
    kf_writer_init(&relay->waiting[KF_FROM_BROKER], alloc);
    kf_arena_init(&relay->arena, alloc, 0);
    return relay;
}

void kf_relay_close(kf_relay *relay)
{
    if (!relay)
        return;
    kf_writer_free(&relay->waiting[KF_FROM_CLIENT]);
    kf_writer_free(&relay->waiting[KF_FROM_BROKER]);
    kf_arena_free(&relay->arena);
    kf_free(relay->alloc, relay->asked);
    kf_free(relay->alloc, relay);
}

static void forget(kf_relay *relay, size_t count)
{
    relay->asked_count -= count;
    memmove(relay->asked, relay->asked + count, relay->asked_count * sizeof *relay->asked);
}

static kf_err remember(kf_relay *relay, struct asked asked)
{
    if (relay->asked_count == MOST_ASKED)
        forget(relay, 1);
    if (relay->asked_count == relay->asked_room) {
        size_t room = relay->asked_room ? relay->asked_room * 2 : 8;
        struct asked *more = kf_realloc(relay->alloc, relay->asked, room * sizeof *more);
        if (!more)
            return KF_ERR_NO_MEMORY;
        relay->asked = more;
        relay->asked_room = room;
    }
    relay->asked[relay->asked_count++] = asked;
    return KF_OK;
}

/* Answers come in the order of the requests; those skipped get none (acks=0). */
static bool recall(kf_relay *relay, int32_t correlation_id, struct asked *asked)
{
    for (size_t i = 0; i < relay->asked_count; i++) {
        if (relay->asked[i].correlation_id != correlation_id)
            continue;
        *asked = relay->asked[i];
        forget(relay, i + 1);
        return true;
    }
    return false;
}

/* What the frame holds, and where its message begins; a schema of NULL: pass it as it came. */
static kf_err read_header(kf_relay *relay, kf_bytes frame, struct kf_passing *passing, size_t *used)
{
    if (passing->request) {
        struct kf_request_header header;
        if (kf__decode_request_header(frame.data, frame.size, &header, used))
            return KF_OK;
        passing->schema = kf_schema_request(header.request_api_key);
        passing->version = header.request_api_version;
        passing->correlation_id = header.correlation_id;
        struct asked asked = {header.correlation_id, passing->version, passing->schema};
        return remember(relay, asked);
    }
    struct kf__cursor in = kf__cursor_over(frame.data, frame.size);
    struct asked asked;
    passing->correlation_id = kf__take_i32(&in);
    if (in.err || !recall(relay, passing->correlation_id, &asked))
        return KF_OK;
    const kf_schema *response = kf_schema_response(kf_schema_api_key(asked.request));
    passing->version = asked.version;
    int32_t id;
    if (!kf__decode_response_header(response, asked.version, frame.data, frame.size, &id, used))
        passing->schema = response;
    return KF_OK;
}

static kf_err open_message(kf_relay *relay, kf_bytes frame, struct kf_passing *passing, size_t used)
{
    passing->message = kf_arena_alloc(&relay->arena, kf_schema_struct_size(passing->schema));
    if (!passing->message)
        return KF_ERR_NO_MEMORY;
    kf_err err = kf_decode(passing->schema, passing->version, frame.data + used, frame.size - used,
                           &relay->arena, passing->message);
    if (err == KF_ERR_NO_MEMORY)
        return err;
    if (err)
        passing->schema = NULL;
    return KF_OK;
}

/* The header goes on as it came, with the tags that nobody knows. */
static kf_err pass(kf_relay *relay, bool request, kf_bytes frame, kf_writer *out)
{
    struct kf_passing passing = {.request = request};
    size_t used = 0;
    kf_err err = read_header(relay, frame, &passing, &used);
    if (!err && passing.schema)
        err = open_message(relay, frame, &passing, used);
    if (err)
        return err;

    size_t start = out->used;
    kf__put_u32(out, (uint32_t)frame.size);
    kf_writer_put(out, frame.data, passing.schema ? used : frame.size);
    if (passing.schema) {
        relay->visit(&passing, relay->context);
        kf_encode(passing.schema, passing.version, passing.message, out);
    }
    if (!out->err)
        kf__set_u32(out->bytes + start, (uint32_t)(out->used - start - KF__FRAME_SIZE_BYTES));
    kf_arena_reset(&relay->arena);
    return out->err;
}

kf_err kf_relay_feed(kf_relay *relay, kf_relay_side from, const void *bytes, size_t size,
                     kf_writer *out)
{
    kf_writer *waiting = &relay->waiting[from];
    kf_writer_put(waiting, bytes, size);
    if (waiting->err)
        return waiting->err;

    bool splice = out->splice;
    out->splice = false; /* what was read doesn't stay */
    size_t at = 0;
    kf_err err = KF_OK;
    while (!err && waiting->used - at >= KF__FRAME_SIZE_BYTES) {
        kf_bytes frame = {waiting->bytes + at + KF__FRAME_SIZE_BYTES,
                          kf__get_u32(waiting->bytes + at)};
        if (frame.size > LARGEST_FRAME)
            err = frame.size > INT32_MAX ? KF_ERR_FRAME_NEGATIVE : KF_ERR_FRAME_TOO_LARGE;
        if (err || waiting->used - at - KF__FRAME_SIZE_BYTES < frame.size)
            break;
        err = pass(relay, from == KF_FROM_CLIENT, frame, out);
        at += KF__FRAME_SIZE_BYTES + frame.size;
    }
    out->splice = splice;
    if (at) {
        memmove(waiting->bytes, waiting->bytes + at, waiting->used - at);
        waiting->used = waiting->total = waiting->used - at;
    }
    return err;
}
