/*
 * versions: what a broker speaks, from its ApiVersions answer (KIP-35, KIP-511).
 *
 * Pure: bytes of the answer in, ranges out. An old broker answers a version
 * that it does not know with error 35 in the format of version 0, and says
 * there which versions it does know.
 */
#ifndef KF_NET_VERSIONS_H
#define KF_NET_VERSIONS_H

#include <kafiber/codec.h>

enum {
    KF__API_KEYS = 128
}; /* keys beyond are not ours */

struct kf__versions {
    bool known;
    struct {
        int16_t min; /* of the broker; max < min: not offered */
        int16_t max;
    } ranges[KF__API_KEYS];
};

void kf__versions_clear(struct kf__versions *versions);

/*
 * Takes the answer's body (after its header). KF_ERR_UNSUPPORTED_VERSION: ask
 * again in *retry, which is below `version`. Other positive codes are the
 * broker's own; negative ones say that the bytes are malformed.
 */
kf_err kf__versions_take(struct kf__versions *versions, int16_t version, const void *bytes,
                         size_t size, kf_arena *arena, int16_t *retry);

bool kf__versions_range(const struct kf__versions *versions, int16_t api_key, int16_t *min,
                        int16_t *max);
/* The highest that the broker, our rows and the caller (0 and 0: no wish) have; -1: none. */
int16_t kf__versions_choose(const struct kf__versions *versions, int16_t api_key, int16_t min,
                            int16_t max);

#endif
