/* fetch: the answer to Fetch, with and without a session (KIP-227). */
#ifndef BENCH_REPLAY_FETCH_H
#define BENCH_REPLAY_FETCH_H

#include "tools/bench/replay/api.h"

void replay_fetch(struct replay *replay, const struct kf_fetch_request *request,
                  const kf_uuid *topic_id, struct kf_fetch_response *response,
                  struct answer *answer);

#endif
