/*
 * help_cases: assignments as text, one case after the other:
 *
 *   case sticky
 *   topic orders 3 r1,r2 r2 -        name, partitions, racks of each (optional)
 *   member m1 - r1 4 orders orders:0,orders:2
 *          id, instance id, rack, generation, topics, owned; "-" stands for none
 *   answer m1 orders:0,orders:1      what Java's class decided
 *   end
 */
#ifndef KF_TESTS_GROUP_HELP_CASES_H
#define KF_TESTS_GROUP_HELP_CASES_H

#include "group/assignor.h"
#include <stdio.h>

enum {
    MAX_CASE_TOPICS = 32,
    MAX_CASE_MEMBERS = 64
};

struct assignment_case {
    enum kf__assignor assignor;
    struct kf__topic_shape topics[MAX_CASE_TOPICS];
    size_t topic_count;
    struct kf__assignor_member members[MAX_CASE_MEMBERS];
    size_t member_count;
    struct kf__partition_list answers[MAX_CASE_MEMBERS]; /* in the order of `members` */
};

/* Reads the next case into the arena; false at the end of the file. */
bool next_case(FILE *file, kf_arena *arena, struct assignment_case *one);
/* "orders:0,orders:2", or "-"; sorted. */
struct kf__partition_list parse_partitions(kf_arena *arena, const char *text);
kf_string parse_string(kf_arena *arena, const char *text);

#endif
