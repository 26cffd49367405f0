/* table: see table.h. */
#include "tools/kf/table.h"

#include "tools/kf/lines.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    GAP = 2 /* blanks between columns */
};

static void add(struct kf__table *table, const char *text, size_t size)
{
    if (table->count == table->capacity) {
        size_t capacity = table->capacity * 2 + 64;
        char **cells = realloc(table->cells, capacity * sizeof *cells);
        if (!cells) {
            table->failed = true;
            return;
        }
        table->cells = cells;
        table->capacity = capacity;
    }
    char *copy = text ? malloc(size + 1) : NULL;
    table->failed |= text && !copy;
    if (copy) {
        memcpy(copy, text, size);
        copy[size] = '\0';
    }
    table->cells[table->count++] = copy;
}

void kf__table_text(struct kf__table *table, const char *text)
{
    add(table, text, text ? strlen(text) : 0);
}

void kf__table_string(struct kf__table *table, kf_string text) { add(table, text.data, text.size); }

void kf__table_number(struct kf__table *table, int64_t number)
{
    char text[24];
    int size = snprintf(text, sizeof text, "%lld", (long long)number);
    add(table, text, (size_t)size);
}

void kf__table_numbers(struct kf__table *table, const int32_t *numbers, int32_t count)
{
    size_t room = (size_t)(count > 0 ? count : 0) * 12 + 1;
    char *text = malloc(room);
    if (!text) {
        table->failed = true;
        return;
    }
    size_t used = 0;
    text[0] = '\0';
    for (int32_t i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, room - used, "%s%d", i ? "," : "", (int)numbers[i]);
    add(table, text, used);
    free(text);
}

static int by_first_cell(const void *a, const void *b)
{
    char *const *left = a;
    char *const *right = b;
    return strcmp(*left, *right);
}

void kf__table_sort(struct kf__table *table)
{
    if (!table->failed && table->count)
        qsort(table->cells, table->count / table->width, table->width * sizeof *table->cells,
              by_first_cell);
}

void kf__table_free(struct kf__table *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i]);
    free(table->cells);
    table->cells = NULL;
    table->count = table->capacity = 0;
}

/* ---- for programs ---- */

static void put(kf_writer *out, const char *text) { kf_writer_put(out, text, strlen(text)); }

static void put_cell(kf_writer *out, enum kf__cell_kind kind, const char *cell)
{
    if (kind == KF__CELL_NUMBERS) {
        put(out, "[");
        put(out, cell ? cell : "");
        put(out, "]");
    } else if (!cell || (kind == KF__CELL_NUMBER && !*cell)) {
        put(out, "null");
    } else if (kind == KF__CELL_NUMBER) {
        put(out, cell);
    } else {
        kf__json_string(out, cell, strlen(cell));
    }
}

static void print_json(const struct kf__table *table)
{
    kf_writer line;
    kf_writer_init(&line, &kf_default_allocator);
    for (size_t row = 0; row + table->width <= table->count; row += table->width) {
        kf_writer_reset(&line);
        for (size_t i = 0; i < table->width; i++) {
            put(&line, i ? ",\"" : "{\"");
            put(&line, table->columns[i].key);
            put(&line, "\":");
            put_cell(&line, table->columns[i].kind, table->cells[row + i]);
        }
        put(&line, "}\n");
        fwrite(line.bytes, 1, line.used, stdout);
    }
    kf_writer_free(&line);
}

/* ---- for people ---- */

static const char *shown(const char *cell) { return cell && *cell ? cell : "-"; }

static size_t width_of(const struct kf__table *table, size_t column)
{
    size_t width = strlen(table->columns[column].title);
    for (size_t row = 0; row + table->width <= table->count; row += table->width) {
        size_t size = strlen(shown(table->cells[row + column]));
        width = size > width ? size : width;
    }
    return width;
}

static void print_row(const struct kf__table *table, const size_t *widths, char *const *cells)
{
    for (size_t i = 0; i < table->width; i++) {
        const char *cell = cells ? shown(cells[i]) : table->columns[i].title;
        bool last = i + 1 == table->width;
        printf("%-*s%s", last ? 0 : (int)(widths[i] + GAP), cell, last ? "\n" : "");
    }
}

static bool print_aligned(const struct kf__table *table)
{
    size_t *widths = calloc(table->width, sizeof *widths);
    if (!widths)
        return false;
    for (size_t i = 0; i < table->width; i++)
        widths[i] = width_of(table, i);
    print_row(table, widths, NULL);
    for (size_t row = 0; row + table->width <= table->count; row += table->width)
        print_row(table, widths, table->cells + row);
    free(widths);
    return true;
}

bool kf__table_print(const struct kf__table *table, bool json)
{
    if (json) {
        print_json(table);
        return !table->failed;
    }
    return print_aligned(table) && !table->failed;
}
