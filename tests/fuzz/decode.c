/*
 * fuzz_decode: any bytes as what `kf decode` reads: a capture, hex, a raw
 * stream, one frame of any API and version. Besides not crashing: every byte
 * of a frame is either explained or told as not decoded, and the dissector
 * refuses what the decoder refuses.
 *
 * The tool's own files are compiled in: they belong to no library.
 */
#include "tools/kf/capture.c"
#define be16 streams_be16
#define be32 streams_be32
#include "tools/kf/streams.c"
#undef be16
#undef be32

#include <kafiber/dissect.h>

static uint64_t seen;

static void look_at(const kf_node *node, void *context)
{
    size_t *shown = context;
    for (size_t i = 0; i < node->size; i++)
        seen += node->bytes[i];
    if (node->space == 0 && (node->kind == KF_NODE_FIELD || node->kind == KF_NODE_UNKNOWN))
        *shown += node->size;
    seen += strlen(node->name) + strlen(node->type) + strlen(node->value);
}

/* The decoder's opinion of the same message. */
static kf_err decode(const kf_dissection *facts, const uint8_t *frame, size_t size)
{
    static union {
        max_align_t align;
        char bytes[4096];
    } message;
    if (kf_schema_struct_size(facts->schema) > sizeof message)
        abort();
    kf_arena arena;
    kf_arena_init(&arena, &kf_default_allocator, 0);
    kf_err err = kf_decode(facts->schema, facts->api_version, frame + facts->message_at,
                           size - facts->message_at, &arena, &message);
    kf_arena_free(&arena);
    return err;
}

static void check(const kf_dissection *facts, const uint8_t *frame, size_t size, size_t shown)
{
    if (shown != size)
        abort();
    if (facts->schema && facts->message_at && !facts->err && decode(facts, frame, size))
        abort();
    bool whole = facts->schema && facts->message_at > 8;
    if (whole && facts->err && facts->problem_at >= facts->message_at &&
        decode(facts, frame, size) == KF_OK && facts->err != KF_ERR_BAD_VERSION)
        abort();
}

static void one_frame(const uint8_t *frame, size_t size, bool request, int16_t key, int16_t version)
{
    static kf_dissect_memory memory;
    size_t shown = 0;
    kf_dissection facts;
    memory.forwarded = size % 2;
    memory.forwarded_api_key = key;
    memory.forwarded_api_version = version;
    kf_err err = request ? kf_dissect_request(frame, size, &memory, &kf_default_allocator, look_at,
                                              &shown, &facts)
                         : kf_dissect_response(key, version, frame, size, &memory,
                                               &kf_default_allocator, look_at, &shown, &facts);
    if (!err)
        check(&facts, frame, size, shown);
}

/* After a SaslHandshake v0 any bytes may be one. */
static void one_sasl_message(const uint8_t *frame, size_t size, bool from_client)
{
    size_t shown = 0;
    kf_dissection facts;
    if (!kf_dissect_sasl(from_client, frame, size, look_at, &shown, &facts) && shown != size)
        abort();
}

static void take_frame(const struct kf__frame_seen *frame, void *context)
{
    (void)context;
    if (frame->sasl)
        one_sasl_message(frame->bytes, frame->size, frame->request);
    if (frame->request || frame->paired)
        one_frame(frame->bytes, frame->size, frame->request, frame->api_key, frame->api_version);
}

static void take_remark(uint64_t connection, bool loss, const char *text, void *context)
{
    (void)context;
    seen += connection + loss + strlen(text);
}

/* Returns how many segments there were. The file comes whole, or in parts of `part` bytes. */
static size_t capture(const uint8_t *data, size_t size, size_t part)
{
    struct kf__streams_events events = {take_frame, take_remark, NULL};
    struct kf__capture file;
    struct kf__segment segment;
    size_t count = 0, end = part < size ? part : size;
    kf__streams *streams = kf__streams_open(&events);
    if (!streams || !kf__capture_open(&file, data, end))
        abort();
    file.partial = end < size;
    do {
        while (kf__capture_next(&file, &segment) && !kf__streams_feed(streams, &segment))
            count++;
        size_t at = (size_t)(file.at - data);
        end = size - end < part ? size : end + part;
        if (file.more)
            kf__capture_refill(&file, data + at, end - at, end < size);
        else
            break;
    } while (true);
    kf__streams_end(streams);
    kf__streams_close(streams);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (kf__capture_is(data, size)) {
        size_t part = size > KF__CAPTURE_HEADER ? KF__CAPTURE_HEADER + data[size - 1] : size;
        if (capture(data, size, size) != capture(data, size, part))
            abort();
        return 0;
    }
    if (size < 4)
        return 0;
    /* Two bytes say which response it is; the frame is the rest. */
    one_frame(data, size, true, 0, 0);
    one_sasl_message(data, size, size % 2);
    one_frame(data + 2, size - 2, false, data[0], data[1]);
    return 0;
}
