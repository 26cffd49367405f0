/*
 * assignor_round_robin: all partitions, topic by topic, dealt out like cards
 * to the members in the order of their names; a member that does not want the
 * topic is passed over.
 */
#include "group/assign.h"

kf_err kf__assign_round_robin(struct kf__assign *assign)
{
    size_t turn = 0;
    for (size_t p = 0; p < assign->partition_count; p++) {
        /* Somebody wants every topic that has a number, so this ends. */
        while (!kf__assign_wants(assign, assign->by_name[turn], assign->topic_of[p]))
            turn = (turn + 1) % assign->member_count;
        kf__assign_give(assign, p, assign->by_name[turn]);
        turn = (turn + 1) % assign->member_count;
    }
    return KF_OK;
}
