#include "proto/codec/frame.h"

#include "proto/bytes/cursor.h"
#include "proto/bytes/writer.h"
#include "proto/codec/schema.h"

int16_t kf__request_header_version(const kf_schema *request, int16_t version)
{
    if (request->api_key == KF_API_CONTROLLED_SHUTDOWN && version == 0)
        return 0;
    return kf_schema_is_flexible(request, version) ? 2 : 1;
}

int16_t kf__response_header_version(const kf_schema *response, int16_t version)
{
    if (response->api_key == KF_API_API_VERSIONS)
        return 0;
    return kf_schema_is_flexible(response, version) ? 1 : 0;
}

/* Leaves room for the size; returns what stood before it. */
static size_t begin_frame(kf_writer *writer, size_t *owned)
{
    size_t before = writer->total;
    *owned = writer->used;
    kf__put_u32(writer, 0);
    return before;
}

static kf_err end_frame(kf_writer *writer, size_t before, size_t owned)
{
    size_t size = writer->total - before - KF__FRAME_SIZE_BYTES;
    if (!writer->err && size > INT32_MAX)
        kf__writer_fail(writer, KF_ERR_FRAME_TOO_LARGE);
    if (!writer->err)
        kf__set_u32(writer->bytes + owned, (uint32_t)size);
    return writer->err;
}

kf_err kf__encode_request(kf_writer *writer, const kf_schema *request, int16_t version,
                          int32_t correlation_id, kf_string client_id, const void *message)
{
    int16_t header_version = kf__request_header_version(request, version);
    struct kf_request_header header;
    kf_reset(&kf_schema_of_request_header, &header);
    header.request_api_key = request->api_key;
    header.request_api_version = version;
    header.correlation_id = correlation_id;
    if (header_version > 0)
        header.client_id = client_id;

    size_t owned;
    size_t before = begin_frame(writer, &owned);
    kf_encode(&kf_schema_of_request_header, header_version, &header, writer);
    kf_encode(request, version, message, writer);
    return end_frame(writer, before, owned);
}

kf_err kf__encode_response(kf_writer *writer, const kf_schema *response, int16_t version,
                           int32_t correlation_id, const void *message)
{
    struct kf_response_header header;
    kf_reset(&kf_schema_of_response_header, &header);
    header.correlation_id = correlation_id;

    size_t owned;
    size_t before = begin_frame(writer, &owned);
    kf_encode(&kf_schema_of_response_header, kf__response_header_version(response, version),
              &header, writer);
    kf_encode(response, version, message, writer);
    return end_frame(writer, before, owned);
}

/* The header's tagged fields; none is known yet (KIP-482). */
static void skip_tags(struct kf__cursor *in)
{
    uint32_t count = kf__take_varuint32(in);
    int64_t last = -1;
    for (uint32_t i = 0; i < count && !in->err; i++) {
        uint32_t tag = kf__take_varuint32(in);
        if (!in->err && (int64_t)tag <= last)
            kf__fail(in, KF_ERR_BAD_TAG);
        last = tag;
        kf__take(in, kf__take_varuint32(in));
    }
}

kf_err kf__decode_response_header(const kf_schema *response, int16_t version, const void *bytes,
                                  size_t size, int32_t *correlation_id, size_t *used)
{
    struct kf__cursor in = kf__cursor_over(bytes, size);
    *correlation_id = kf__take_i32(&in);
    if (kf__response_header_version(response, version) > 0)
        skip_tags(&in);
    *used = size - kf__left(&in);
    return in.err;
}

static void read_client_id(struct kf__cursor *in, kf_string *client_id)
{
    int16_t length = kf__take_i16(in);
    if (length < -1)
        kf__fail(in, KF_ERR_BAD_COUNT);
    if (in->err || length < 0)
        return;
    const uint8_t *at = kf__take(in, (size_t)length);
    *client_id = (kf_string){(const char *)at, at ? (size_t)length : 0};
}

static int16_t nearest_version(const kf_schema *schema, int16_t version)
{
    if (version > schema->max_version)
        return schema->max_version;
    return version < schema->min_version ? schema->min_version : version;
}

kf_err kf__decode_request_header(const void *bytes, size_t size, struct kf_request_header *header,
                                 size_t *used)
{
    struct kf__cursor in = kf__cursor_over(bytes, size);
    kf_reset(&kf_schema_of_request_header, header);
    header->request_api_key = kf__take_i16(&in);
    header->request_api_version = kf__take_i16(&in);
    header->correlation_id = kf__take_i32(&in);
    header->client_id = (kf_string){NULL, 0};
    *used = size - kf__left(&in);
    if (in.err)
        return in.err;

    const kf_schema *request = kf_schema_request(header->request_api_key);
    if (!request)
        return KF_ERR_API_NOT_SUPPORTED;
    int16_t header_version =
        kf__request_header_version(request, nearest_version(request, header->request_api_version));
    if (header_version > 0)
        read_client_id(&in, &header->client_id);
    if (header_version > 1)
        skip_tags(&in);
    *used = size - kf__left(&in);
    return in.err;
}

size_t kf__writer_iovec_from(const kf_writer *writer, size_t skip, struct iovec *vectors,
                             size_t max)
{
    size_t filled = 0;
    size_t owned = 0; /* bytes of the buffer handed out or skipped */
    for (size_t i = 0; i <= writer->segment_count; i++) {
        const struct kf_segment *segment = i < writer->segment_count ? &writer->segments[i] : NULL;
        size_t until = segment ? segment->at : writer->used;
        const uint8_t *parts[2] = {writer->bytes ? writer->bytes + owned : NULL,
                                   segment ? segment->bytes.data : NULL};
        size_t sizes[2] = {until - owned, segment ? segment->bytes.size : 0};
        owned = until;
        for (int part = 0; part < 2 && filled < max; part++) {
            size_t leave = skip < sizes[part] ? skip : sizes[part];
            skip -= leave;
            if (sizes[part] == leave)
                continue;
            /* iovec has no const, but is only read from. */
            vectors[filled].iov_base = (void *)(uintptr_t)(parts[part] + leave);
            vectors[filled++].iov_len = sizes[part] - leave;
        }
    }
    return filled;
}

size_t kf_writer_iovec(const kf_writer *writer, struct iovec *vectors, size_t max)
{
    return kf__writer_iovec_from(writer, 0, vectors, max);
}

kf_err kf_writer_flatten(kf_writer *writer)
{
    if (writer->err || !writer->segment_count)
        return writer->err;

    uint8_t *bytes = kf_alloc(writer->alloc, writer->total);
    if (!bytes) {
        kf__writer_fail(writer, KF_ERR_NO_MEMORY);
        return writer->err;
    }
    size_t at = 0, owned = 0;
    for (size_t i = 0; i < writer->segment_count; i++) {
        const struct kf_segment *segment = &writer->segments[i];
        memcpy(bytes + at, writer->bytes + owned, segment->at - owned);
        at += segment->at - owned;
        owned = segment->at;
        memcpy(bytes + at, segment->bytes.data, segment->bytes.size);
        at += segment->bytes.size;
    }
    memcpy(bytes + at, writer->bytes + owned, writer->used - owned);

    kf_free(writer->alloc, writer->bytes);
    writer->bytes = bytes;
    writer->used = writer->capacity = writer->total;
    writer->segment_count = 0;
    return KF_OK;
}
