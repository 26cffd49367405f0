#include "group/help_cases.h"

#include "group/partitions.h"
#include <stdlib.h>
#include <string.h>

enum {
    LINE_BYTES = 1 << 16
};

static char *copy_text(kf_arena *arena, const char *text)
{
    char *copy = kf_arena_alloc(arena, strlen(text) + 1);
    return strcpy(copy, text);
}

kf_string parse_string(kf_arena *arena, const char *text)
{
    if (!strcmp(text, "-"))
        return (kf_string){0};
    return (kf_string){copy_text(arena, text), strlen(text)};
}

/* "a,b,c" or "-": the names; returns how many. */
static size_t parse_names(kf_arena *arena, const char *text, kf_string **names)
{
    *names = kf_arena_alloc(arena, (strlen(text) / 2 + 1) * sizeof **names);
    size_t count = 0;
    if (!strcmp(text, "-"))
        return 0;
    char *copy = copy_text(arena, text);
    char *rest = NULL;
    for (char *name = strtok_r(copy, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
        (*names)[count++] = (kf_string){name, strlen(name)};
    return count;
}

struct kf__partition_list parse_partitions(kf_arena *arena, const char *text)
{
    kf_string *names;
    struct kf__partition_list list = {.count = parse_names(arena, text, &names)};
    list.items = kf_arena_alloc(arena, list.count * sizeof *list.items + 1);
    for (size_t i = 0; i < list.count; i++) {
        const char *colon = strrchr(names[i].data, ':');
        list.items[i].topic = (kf_string){names[i].data, (size_t)(colon - names[i].data)};
        list.items[i].partition = atoi(colon + 1);
    }
    kf__partitions_sort(&list);
    return list;
}

static void read_topic(kf_arena *arena, struct kf__topic_shape *topic, char **rest)
{
    topic->name = parse_string(arena, strtok_r(NULL, " \n", rest));
    topic->partition_count = atoi(strtok_r(NULL, " \n", rest));
    char *racks = strtok_r(NULL, " \n", rest);
    if (!racks)
        return;
    struct kf__rack_list *lists =
        kf_arena_alloc(arena, (size_t)topic->partition_count * sizeof *lists + 1);
    for (int32_t p = 0; racks && p < topic->partition_count; p++) {
        kf_string *names;
        lists[p].count = parse_names(arena, racks, &names);
        lists[p].items = names;
        racks = strtok_r(NULL, " \n", rest);
    }
    topic->racks = lists;
}

static void read_member(kf_arena *arena, struct kf__assignor_member *member, char **rest)
{
    kf_string *topics;
    member->id = parse_string(arena, strtok_r(NULL, " \n", rest));
    member->instance_id = parse_string(arena, strtok_r(NULL, " \n", rest));
    member->rack = parse_string(arena, strtok_r(NULL, " \n", rest));
    member->generation = atoi(strtok_r(NULL, " \n", rest));
    member->topic_count = parse_names(arena, strtok_r(NULL, " \n", rest), &topics);
    member->topics = topics;
    member->owned = parse_partitions(arena, strtok_r(NULL, " \n", rest));
}

static void read_answer(kf_arena *arena, struct assignment_case *one, char **rest)
{
    kf_string id = parse_string(arena, strtok_r(NULL, " \n", rest));
    for (size_t m = 0; m < one->member_count; m++)
        if (!kf__string_compare(one->members[m].id, id))
            one->answers[m] = parse_partitions(arena, strtok_r(NULL, " \n", rest));
}

bool next_case(FILE *file, kf_arena *arena, struct assignment_case *one)
{
    static char line[LINE_BYTES];
    memset(one, 0, sizeof *one);
    while (fgets(line, sizeof line, file)) {
        char *rest = NULL;
        char *word = strtok_r(line, " \n", &rest);
        if (!word)
            continue;
        if (!strcmp(word, "case"))
            kf__assignor_by_name(parse_string(arena, strtok_r(NULL, " \n", &rest)), &one->assignor);
        else if (!strcmp(word, "topic"))
            read_topic(arena, &one->topics[one->topic_count++], &rest);
        else if (!strcmp(word, "member"))
            read_member(arena, &one->members[one->member_count++], &rest);
        else if (!strcmp(word, "answer"))
            read_answer(arena, one, &rest);
        else if (!strcmp(word, "end"))
            return true;
    }
    return false;
}
