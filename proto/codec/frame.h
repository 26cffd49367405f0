/*
 * frame: what stands around a message on a connection: the size, then the
 * header of the request or the response.
 *
 *     │size│request header│request│        │size│response header│response│
 *
 * Which version a header has follows from the message: requests v2 from the
 * flexible versions on, else v1 (ControlledShutdown v0: v0); responses v1
 * from the flexible versions on, else v0, and ApiVersions always v0, because
 * a client must read it before it knows what the broker speaks (KIP-511).
 */
#ifndef KF_PROTO_FRAME_H
#define KF_PROTO_FRAME_H

#include <kafiber/codec.h>
#include <kafiber/messages.h>
#include <sys/uio.h>

enum {
    KF__FRAME_SIZE_BYTES = 4
};

int16_t kf__request_header_version(const kf_schema *request, int16_t version);
int16_t kf__response_header_version(const kf_schema *response, int16_t version);

/* Appends a whole frame, its size included. A client_id with data NULL is null. */
kf_err kf__encode_request(kf_writer *writer, const kf_schema *request, int16_t version,
                          int32_t correlation_id, kf_string client_id, const void *message);
kf_err kf__encode_response(kf_writer *writer, const kf_schema *response, int16_t version,
                           int32_t correlation_id, const void *message);

/*
 * `bytes` is a frame without its size. *used says where the message begins.
 * Unknown tags of the header are checked and dropped.
 */
kf_err kf__decode_response_header(const kf_schema *response, int16_t version, const void *bytes,
                                  size_t size, int32_t *correlation_id, size_t *used);

/*
 * The broker's side. The header's version depends on the API key and version
 * that it begins with. KF_ERR_API_NOT_SUPPORTED: no such API; header then
 * still holds key, version and correlation id. An unknown version of a known
 * API is read as the nearest known one, so that ApiVersions can be answered.
 * Strings borrow from `bytes`.
 */
kf_err kf__decode_request_header(const void *bytes, size_t size, struct kf_request_header *header,
                                 size_t *used);

/*
 * What was written, as vectors in order; returns how many were filled. Where
 * more than `max` are needed, the first `max` of them. `skip` leaves out that
 * many bytes from the front: those sent already.
 */
size_t kf__writer_iovec_from(const kf_writer *writer, size_t skip, struct iovec *vectors,
                             size_t max);
size_t kf_writer_iovec(const kf_writer *writer, struct iovec *vectors, size_t max);

/* Copies the borrowed segments in: afterwards `bytes` and `used` are all there is. */
kf_err kf_writer_flatten(kf_writer *writer);

#endif
