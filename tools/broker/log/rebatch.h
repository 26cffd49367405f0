/*
 * rebatch: a record batch (magic 2) written anew: with fewer records, other
 * compression, or the broker's time. Records keep their bytes, offsets and
 * place; the header keeps what else it says. Pure. Called by api/produce.c
 * and cleaner.c.
 */
#ifndef KF_BROKER_REBATCH_H
#define KF_BROKER_REBATCH_H

#include "proto/batch/batch.h"

struct kf__rebatch {
    enum kf_codec codec;
    int level;           /* 0: the codec's default */
    int64_t append_time; /* ms, as LogAppendTime; -1: timestamps stay */
    /* Whether a record stays; NULL: all do. */
    bool (*keeps)(void *context, const struct kf__record *record);
    void *context;
};

/* Appends to `out`. `plain` is room for the decompressed records; what was in it is lost. */
kf_err kf__rebatch(const struct kf__batch *batch, const struct kf__rebatch *how,
                   struct kf__codecs *codecs, struct kf__buffer *plain, struct kf__buffer *out);
/* The same batch with CreateTime and another largest timestamp in its header; appends to `out`. */
kf_err kf__retime(const struct kf__batch *batch, int64_t max_timestamp, struct kf__buffer *out);

#endif
