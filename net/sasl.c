/* sasl: see sasl.h. */
#include "net/sasl.h"

kf_err kf__sasl_open(const kf_allocator *alloc, const struct kf__sasl_settings *settings,
                     struct kf__sasl **sasl, kf_error *error)
{
    (void)alloc;
    *sasl = NULL;
    return kf_error_set(error, KF_ERR_NOT_BUILT,
                        "sasl.mechanism=%s: this version does not have SASL yet",
                        settings->mechanism);
}

void kf__sasl_close(struct kf__sasl *sasl) { (void)sasl; }
