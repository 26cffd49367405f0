/*
 * table: what administration verbs print: aligned columns for people, or one
 * JSON object a line for programs.
 */
#ifndef KF_TOOLS_TABLE_H
#define KF_TOOLS_TABLE_H

#include <kafiber/types.h>
#include <stdbool.h>

enum kf__cell_kind {
    KF__CELL_TEXT,    /* NULL: "-" and null */
    KF__CELL_NUMBER,  /* "" or NULL: "-" and null */
    KF__CELL_NUMBERS, /* "1,2,3": an array of numbers */
};

struct kf__column {
    const char *title; /* "LOG-END-OFFSET" */
    const char *key;   /* in JSON: "logEndOffset" */
    enum kf__cell_kind kind;
};

struct kf__table {
    const struct kf__column *columns;
    size_t width;
    char **cells; /* row after row */
    size_t count;
    size_t capacity;
    bool failed; /* out of memory: the table is not whole */
};

/* Cells go in one after the other, row by row. */
void kf__table_text(struct kf__table *table, const char *text);
void kf__table_string(struct kf__table *table, kf_string text);
void kf__table_number(struct kf__table *table, int64_t number);
void kf__table_numbers(struct kf__table *table, const int32_t *numbers, int32_t count);
/* Rows by their first cell, which must not be NULL. */
void kf__table_sort(struct kf__table *table);
/* Prints all rows; a heading where it is for people. Returns false where memory was short. */
bool kf__table_print(const struct kf__table *table, bool json);
void kf__table_free(struct kf__table *table);

#endif
