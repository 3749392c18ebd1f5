#include "describe.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "layer.h"

#define ROOM (1 << 16)

static char answer[ROOM];

/* Refuse the layer: keep the reason as the answer, and return 0. */
static int refuse(const char *format, ...) {
    char reason[256];
    va_list values;
    va_start(values, format);
    vsnprintf(reason, sizeof reason, format, values);
    va_end(values);
    snprintf(answer, sizeof answer, "\"refused\":\"%s\"", reason);
    return 0;
}

/* Append to the answer. */
static void put(const char *format, ...) {
    size_t used = strlen(answer);
    va_list values;
    va_start(values, format);
    vsnprintf(answer + used, sizeof answer - used, format, values);
    va_end(values);
}

/* Read a whole number of at least `least` (10.2, 10.3). */
static int whole(const char *text, const char *field, long least, long *out) {
    char *end;
    *out = strtol(text, &end, 10);
    if (end == text || !strchr(",]} \t", *end)) return refuse("%s: no whole number", field);
    return *out >= least || refuse("%s: %ld, expected at least %ld", field, *out, least);
}

/* Let `entries` be one text per axis of what is a list, or one value for all of them (0.2, 10.4). */
static int each(const char *text, const char *field, int rank, const char **entries) {
    int count = 0;
    if (*text != '[') {
        for (int a = 0; a < rank; a++) entries[a] = text;
        return 1;
    }
    for (const char *entry = json_entry(text); entry; entry = json_next_entry(entry), count++)
        if (count < rank) entries[count] = entry;
    return count == rank || refuse("%s: %d entries, expected %d", field, count, rank);
}

static int sizes(const char *text, const char *field, int rank, long *out) {
    const char *entries[MAX_RANK];
    long one;
    if (*text != '[' && !whole(text, field, 1, &one)) return 0; /* checked at rank 0 too */
    if (!each(text, field, rank, entries)) return 0;
    for (int a = 0; a < rank; a++)
        if (!whole(entries[a], field, 1, &out[a])) return 0;
    return 1;
}

/* Resolve a name of padding for one axis (2.2). */
static int named(const char *text, long size, long stride, long extent, long *lo, long *hi) {
    char name[32];
    long last = (size + stride - 1) / stride * stride - stride, total = last + extent - size;
    if (total < 0) total = 0;
    if (!json_string(text, name, sizeof name)) return refuse("padding: no name, number or pair");
    *lo = *hi = 0;
    if (!strcmp(name, "valid")) return 1;
    if (!strcmp(name, "same_upper")) *lo = total / 2, *hi = total - total / 2;
    else if (!strcmp(name, "same_lower")) *lo = total - total / 2, *hi = total / 2;
    else if (!strcmp(name, "causal")) *lo = extent - 1;
    else if (!strcmp(name, "same_keras_local")) {
        *lo = extent / 2;
        *hi = last + extent - *lo - size;
        if (*hi < 0) *hi = 0;
    } else return refuse("padding: unknown name");
    return 1;
}

static int padding(const char *text, long size, long stride, long extent, long *lo, long *hi) { /* 10.5 */
    const char *sides[2];
    if (*text == '"') return named(text, size, stride, extent, lo, hi);
    if (!each(text, "padding", 2, sides)) return 0;
    return whole(sides[0], "padding", 0, lo) && whole(sides[1], "padding", 0, hi);
}

/* Check a connection table and append it to the answer (10.8). */
static int table(const char *text, long in, long out) {
    long rows = 0, width = -1;
    put(",\"channel_table\":[");
    for (const char *row = *text == '[' ? json_entry(text) : NULL; row; row = json_next_entry(row), rows++) {
        long seen[256], count = 0;
        if (*row != '[') return refuse("channel_table: expected a list of rows");
        put(rows ? ",[" : "[");
        for (const char *entry = json_entry(row); entry && count < 256; entry = json_next_entry(entry)) {
            if (!whole(entry, "channel_table", 0, &seen[count])) return 0;
            if (seen[count] >= in) return refuse("channel_table: no input channel %ld", seen[count]);
            for (long c = 0; c < count; c++)
                if (seen[c] == seen[count]) return refuse("channel_table: a channel stands twice in a row");
            put(count ? ",%ld" : "%ld", seen[count]);
            count++;
        }
        put("]");
        if (!count || (width >= 0 && count != width)) return refuse("channel_table: rows of one width, at least 1");
        width = count;
    }
    put("]");
    return rows == out || refuse("channel_table: %ld rows, expected %ld", rows, out);
}

static void put_list(const char *field, const long *values, int count, const char *words[2]) {
    put(",\"%s\":[", field);
    for (int a = 0; a < count; a++) {
        if (words) put(a ? ",%s" : "%s", words[values[a]]);
        else put(a ? ",%ld" : "%ld", values[a]);
    }
    put("]");
}

static const char *or_default(const char *layer, const char *field, const char *value) {
    const char *found = json_get(layer, field);
    return found ? found : value;
}

/* Every field has to be one of the description (10.12). */
static int known_fields(const char *layer) {
    static const char *fields = " input_size in_channels out_channels kernel_size stride padding dilation groups shared "
                                "bias channel_table ";
    char name[64], spaced[72];
    for (const char *at = json_first(layer, name, 64); at; at = json_next(at, name, 64)) {
        snprintf(spaced, sizeof spaced, " %s ", name);
        if (!strstr(fields, spaced)) return refuse("a field that does not exist");
    }
    return 1;
}

static int normalise(const char *layer) {
    static const char *required[] = {"input_size", "in_channels", "out_channels", "kernel_size"};
    static const char *flags[] = {"false", "true"};
    const char *input, *entries[MAX_RANK], *rows;
    char bias[16];
    Layer l;
    if (!known_fields(layer)) return 0;
    for (int i = 0; i < 4; i++)
        if (!json_get(layer, required[i])) return refuse("%s: missing", required[i]);
    input = json_get(layer, "input_size");
    l.rank = *input == '[' ? 0 : 1;
    for (const char *at = json_entry(input); at; at = json_next_entry(at)) l.rank++;
    if (l.rank > MAX_RANK) return refuse("input_size: %d axes, expected at most 3", l.rank);
    if (!sizes(input, "input_size", l.rank, l.input) ||
        !whole(json_get(layer, "in_channels"), "in_channels", 1, &l.in_channels) ||
        !whole(json_get(layer, "out_channels"), "out_channels", 1, &l.out_channels) ||
        !whole(or_default(layer, "groups", "1 "), "groups", 1, &l.groups) ||
        !sizes(json_get(layer, "kernel_size"), "kernel_size", l.rank, l.kernel) ||
        !sizes(or_default(layer, "stride", "1 "), "stride", l.rank, l.stride) ||
        !sizes(or_default(layer, "dilation", "1 "), "dilation", l.rank, l.dilation) ||
        !each(or_default(layer, "padding", "\"valid\""), "padding", l.rank, entries))
        return 0;
    for (int a = 0; a < l.rank; a++) {
        long extent = l.dilation[a] * (l.kernel[a] - 1) + 1, *pair = l.padding + 2 * a;
        if (!padding(entries[a], l.input[a], l.stride[a], extent, &pair[0], &pair[1])) return 0;
        if (l.input[a] + pair[0] + pair[1] < extent) return refuse("the window is larger than the input"); /* 10.6 */
    }
    if (!each(or_default(layer, "shared", "false "), "shared", l.rank, entries)) return 0;
    for (int a = 0; a < l.rank; a++) { /* 10.9 */
        l.shared[a] = !strncmp(entries[a], "true", 4);
        if (!l.shared[a] && strncmp(entries[a], "false", 5)) return refuse("shared: no boolean");
    }
    if (!json_string(or_default(layer, "bias", "\"position\""), bias, sizeof bias) ||
        (strcmp(bias, "position") && strcmp(bias, "channel") && strcmp(bias, "none")))
        return refuse("bias: none of position, channel and none");
    if (l.in_channels % l.groups || l.out_channels % l.groups) return refuse("channels in %ld groups", l.groups); /* 10.7 */
    snprintf(answer, sizeof answer, "\"spec\":{\"bias\":\"%s\",\"in_channels\":%ld,\"out_channels\":%ld,\"groups\":%ld",
             bias, l.in_channels, l.out_channels, l.groups);
    put_list("input_size", l.input, l.rank, NULL);
    put_list("kernel_size", l.kernel, l.rank, NULL);
    put_list("stride", l.stride, l.rank, NULL);
    put_list("dilation", l.dilation, l.rank, NULL);
    put_list("shared", l.shared, l.rank, flags);
    put(",\"padding\":[");
    for (int a = 0; a < l.rank; a++) put(a ? ",[%ld,%ld]" : "[%ld,%ld]", l.padding[2 * a], l.padding[2 * a + 1]);
    put("]");
    rows = json_get(layer, "channel_table");
    if (rows && strncmp(rows, "null", 4)) {
        if (l.groups != 1) return refuse("channel_table: beside groups");
        if (!table(rows, l.in_channels, l.out_channels)) return 0;
    }
    put("}");
    return 1;
}

const char *describe(const char *layer) {
    normalise(layer);
    return answer;
}
